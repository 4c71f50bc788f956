"""Errors of obstore as ours: a missing object, a storage that is away, one that refuses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

from shared.errors import ObjectNotFound, StorageRefused, Unavailable

# The answers of S3, Google and Azure to a request for a bucket or container that is not there.
_NO_BUCKET = ("NoSuchBucket", "The specified bucket does not exist", "ContainerNotFound")
# obstore's words for an endpoint without TLS, and for a bucket of another region.
_NO_HTTP, _OTHER_REGION = "HTTP error: builder error", "incorrectly configured region"
# EACCES and EROFS of a local folder.
_NO_PERMISSION = ("(os error 13)", "(os error 30)")
_CODE = re.compile(r"<Code>(\w{1,64})</Code>")
_URL = re.compile(r"(?<![a-z0-9+])[a-z0-9+]{1,16}+://\S+")


@contextmanager
def storage_errors(key: str, *, writes: bool = False) -> Iterator[None]:
    """Raise `ObjectNotFound`, `StorageRefused` or `Unavailable` for what goes wrong inside.

    A write never raises `ObjectNotFound`: what is not found then is the bucket or the folder.
    """
    try:
        yield
    except (BaseError, OSError) as error:
        refusal = _refusal(error)
        if refusal is not None:
            raise StorageRefused(f"the storage refuses {key!r}: {refusal}") from error
        if isinstance(error, FileNotFoundError) and not writes:
            raise ObjectNotFound(f"nothing stored under {key!r}") from None
        raise Unavailable(f"the storage failed at {key!r}: {_reason(error)}") from error


def _refusal(error: Exception) -> str | None:
    """The reason why the storage will refuse a retry, too; None if a retry may pass."""
    said = str(error)
    if any(words in said for words in _NO_BUCKET):
        return "there is no such bucket; create it, or correct TTS_STORAGE_URL"
    denied = isinstance(error, (PermissionDeniedError, UnauthenticatedError, PermissionError))
    if denied or any(number in said for number in _NO_PERMISSION):
        return f"{_code(said) or 'permission denied'}; check its credentials and permissions"
    if _NO_HTTP in said:
        return "its endpoint has no TLS; AWS_ALLOW_HTTP=1 allows that"
    if _OTHER_REGION in said:
        return "the bucket is in another region; set AWS_REGION"
    return None


def _reason(error: Exception) -> str:
    """One line without URLs, which say more of an installation than a client should know."""
    said = str(error)
    line = (said.splitlines() or [type(error).__name__])[0]
    return _code(said) or _URL.sub("(its URL)", line)


def _code(said: str) -> str | None:
    found = _CODE.search(said)
    return found[1] if found else None
