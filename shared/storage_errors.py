"""Translation of obstore's errors: object missing, storage away, access refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

from shared.errors import ObjectNotFound, StorageRefused, Unavailable

# The answers of S3, Google and Azure to a request for a bucket or container that is not there.
_NO_BUCKET = ("NoSuchBucket", "The specified bucket does not exist", "ContainerNotFound")
# obstore's words for an endpoint without TLS.
_NO_HTTP = "HTTP error: builder error"
# A bucket of another region: obstore's words for Amazon's redirect, and what Amazon and MinIO
# answer to a signature for the wrong region.
_OTHER_REGION = ("incorrectly configured region", "AuthorizationHeaderMalformed")
# EACCES and EROFS of a local folder.
_NO_PERMISSION = ("(os error 13)", "(os error 30)")
_CODE = re.compile(r"<Code>(\w{1,64})</Code>")
_URL = re.compile(r"(?<![a-z0-9+])[a-z0-9+]{1,16}+://\S+")


@contextmanager
def storage_errors(key: str, *, writes: bool = False) -> Iterator[None]:
    """Translate errors inside to `ObjectNotFound`, `StorageRefused` or `Unavailable`.

    A write never raises `ObjectNotFound`: then the bucket or the folder is missing.
    """
    try:
        yield
    except (BaseError, OSError) as error:
        refusal = _refusal(error)
        if refusal is not None:
            raise StorageRefused(f"the storage refuses {key!r}: {refusal}") from error
        if isinstance(error, FileNotFoundError) and not writes:
            raise ObjectNotFound(f"nothing stored under {key!r}") from None
        said = str(error)
        # Without URLs: they would show clients details of the installation.
        line = _URL.sub("(its URL)", (said.splitlines() or [type(error).__name__])[0])
        raise Unavailable(f"the storage failed at {key!r}: {_code(said) or line}") from error


def _refusal(error: Exception) -> str | None:
    """The reason for a refusal that a retry cannot change; None for any other error."""
    said = str(error)
    if any(words in said for words in _NO_BUCKET):
        return "there is no such bucket; create it, or correct TTS_STORAGE_URL"
    denied = isinstance(error, (PermissionDeniedError, UnauthenticatedError, PermissionError))
    if denied or any(number in said for number in _NO_PERMISSION):
        return f"{_code(said) or 'permission denied'}; check its credentials and permissions"
    if _NO_HTTP in said:
        return "its endpoint has no TLS; AWS_ALLOW_HTTP=1 allows that"
    if any(words in said for words in _OTHER_REGION):
        return "the bucket is in another region; set AWS_REGION"
    return None


def _code(said: str) -> str | None:
    found = _CODE.search(said)
    return found[1] if found else None
