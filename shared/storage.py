"""Where audio lies: a local folder by default, S3 and others by URL, through obstore."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, BinaryIO, Self
from urllib.parse import unquote, urlsplit

from obstore.exceptions import BaseError, NotFoundError
from obstore.store import LocalStore, ObjectStore, from_url

from shared.errors import ObjectNotFound, Unavailable

if TYPE_CHECKING:
    from obstore import GetResult  # obstore has it in its types only


@dataclass(frozen=True)
class StoredObject:
    """An object's size and its entity tag."""

    size_bytes: int
    etag: str


class Storage:
    """Objects by key; a write is seen whole or not at all.

    Every method raises `Unavailable` when the storage fails.
    """

    def __init__(self, store: ObjectStore, folder: Path | None = None) -> None:
        self._store = store
        self._folder = folder  # of a local store

    @classmethod
    def open(cls, url: str) -> Self:
        """Open `file:///folder` (made if it is not there), `s3://bucket/prefix`, `memory:///`…."""
        parts = urlsplit(url)
        with _storage_errors(url):
            if parts.scheme != "file":
                return cls(from_url(url))
            folder = Path(unquote(parts.path))
            return cls(LocalStore(folder, mkdir=True, automatic_cleanup=True), folder)

    def put(self, key: str, content: bytes | Path | BinaryIO) -> None:
        """Store bytes, or the whole content of a file, under `key`."""
        if not isinstance(content, (bytes, Path)):
            content.seek(0)
        with _storage_errors(key):
            self._store.put(key, content)

    def get(self, key: str) -> bytes:
        """The object's bytes; raises `ObjectNotFound`."""
        with _storage_errors(key):
            return bytes(self._store.get(key).bytes())

    def look(self, key: str) -> StoredObject:
        """What there is under `key`; raises `ObjectNotFound`."""
        with _storage_errors(key):
            found = self._store.head(key)
        etag = found["e_tag"] or f"{found['size']}-{found['last_modified'].timestamp()}"
        return StoredObject(found["size"], etag)

    def open_read(self, key: str, start: int, end: int) -> Iterator[bytes]:
        """The object's bytes from `start` to before `end`, in pieces; raises `ObjectNotFound`."""
        with _storage_errors(key):
            return _chunks(key, self._store.get(key, options={"range": (start, end)}))

    def delete_folder(self, folder: str) -> None:
        """Delete every object under `folder`, if there is any."""
        with _storage_errors(folder):
            if self._folder is not None:
                # With what a write that was cut off has left, which no list shows.
                with suppress(FileNotFoundError):
                    shutil.rmtree(self._folder / folder)
                return
            for found in self._store.list(f"{folder}/"):
                self._store.delete([each["path"] for each in found])


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder for a file on its way into the storage; raises `Unavailable`."""
    try:
        folder = TemporaryDirectory()
    except OSError as error:
        raise Unavailable(f"there is no room for the audio: {error}") from error
    with folder as name:
        yield Path(name)


@contextmanager
def _storage_errors(key: str) -> Iterator[None]:
    try:
        yield
    except (NotFoundError, FileNotFoundError):
        raise ObjectNotFound(f"nothing stored under {key!r}") from None
    except (BaseError, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise Unavailable(f"the storage failed at {key!r}: {reason}") from error


def _chunks(key: str, found: GetResult) -> Iterator[bytes]:
    with _storage_errors(key):
        for chunk in found.stream():
            yield bytes(chunk)
