"""The storage of audio: a local folder by default, S3 and others by URL, through obstore."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import unquote, urlsplit

from obstore.exceptions import AlreadyExistsError, NotSupportedError
from obstore.store import LocalStore, ObjectStore, from_url

from shared.errors import Misconfigured, ObjectNotFound, Unavailable
from shared.metrics import storage_operation
from shared.storage_errors import storage_errors

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig  # obstore has them in its types only

# The object whose content is the storage's id: see `shared.storage_identity`.
MARKER_KEY = "storage.id"
NO_FOLDER_MESSAGE = (
    "there is no folder {}: correct TTS_STORAGE_URL, or mount its volume; the first start of the "
    "API makes it"
)
# Bytes of a ranged read: a stalled storage is noticed between two reads.
PIECE_BYTES = 2**20
# Writes up to this size have the short timeout of reads.
MAX_SMALL_WRITE_BYTES = 2**18
READ_TIMEOUT_S = 60.0
# Connection options of the environment; obstore ignores them once it is given any option.
_FROM_ENVIRONMENT = (
    *("allow_http", "allow_invalid_certificates", "proxy_url", "proxy_ca_certificate"),
    *("proxy_excludes", "root_certificate", "http1_only", "http2_only"),
)
_PROVIDERS = {"s3": "AWS_", "gs": "GOOGLE_", "az": "AZURE_"}


@dataclass(frozen=True)
class StorageLimits:
    """Timeouts: seconds without any bytes, and seconds for the request of a long write."""

    silent_s: float = 10.0
    write_s: float = 60.0

    @classmethod
    def of_api(cls, timeout_s: float) -> Self:
        """Short limits, since clients wait."""
        return cls(timeout_s, 7.5 * timeout_s)

    @classmethod
    def of_worker(cls, timeout_s: float) -> Self:
        """Five times as long, since a worker tries again for as long as its claim holds."""
        return cls(5 * timeout_s, 30 * timeout_s)


@dataclass(frozen=True)
class StoredObject:
    """An object's size and its entity tag."""

    size_bytes: int
    etag: str


class Storage:
    """Objects by key; a write is atomic for readers.

    Every method raises `Unavailable` when the storage fails, `StorageRefused` when it refuses.
    """

    def __init__(self, reads: ObjectStore, writes: ObjectStore, folder: Path | None = None) -> None:
        self._reads = reads
        self._writes = writes
        self._folder = folder  # of a local store
        self._has_marker = False

    @classmethod
    def open(
        cls, url: str, limits: StorageLimits | None = None, *, makes_folder: bool = True
    ) -> Self:
        """Open `file:///folder`, `s3://bucket/prefix`, `memory:///`….

        A missing folder is made, or raises `Misconfigured` unless `makes_folder`.
        """
        parts, limits = urlsplit(url), limits or StorageLimits()
        with storage_errors(url, writes=True):
            if parts.scheme == "file":
                folder = Path(unquote(parts.path))
                if not makes_folder and not folder.exists():
                    raise Misconfigured(NO_FOLDER_MESSAGE.format(folder))
                local = LocalStore(folder, mkdir=True, automatic_cleanup=True)
                return cls(local, local, folder)
            if parts.scheme == "memory":
                memory = from_url(url)
                return cls(memory, memory)
            return cls(
                _remote(
                    url,
                    {"read_timeout": _s(limits.silent_s), "timeout": _s(READ_TIMEOUT_S)},
                    limits,
                ),
                _remote(url, {"timeout": _s(limits.write_s)}, limits, limits.write_s),
            )

    def put(self, key: str, content: bytes | Path) -> None:
        """Store bytes, or the whole content of a file, under `key`."""
        self._require_mount()
        store = self._reads
        size = len(content) if isinstance(content, bytes) else content.stat().st_size
        if size > MAX_SMALL_WRITE_BYTES:
            # A long write has a long timeout: a short read first fails fast if storage is silent.
            self.marker()
            store = self._writes
        with storage_operation("put"), storage_errors(key, writes=True):
            store.put(key, content)

    def get(self, key: str) -> bytes:
        """The object's bytes; raises `ObjectNotFound`."""
        with storage_operation("get"), self._reading(key):
            return bytes(self._reads.get(key).bytes())

    def look(self, key: str) -> StoredObject:
        """The size and tag of the object under `key`; raises `ObjectNotFound`."""
        with storage_operation("head"), self._reading(key):
            found = self._reads.head(key)
        etag = found["e_tag"] or f"{found['size']}-{found['last_modified'].timestamp()}"
        return StoredObject(found["size"], etag)

    def has(self, key: str) -> bool:
        """True if there is an object under `key`."""
        try:
            self.look(key)
        except ObjectNotFound:
            return False
        return True

    def read(self, key: str, start: int, end: int) -> bytes:
        """The object's bytes from `start` to before `end`; raises `ObjectNotFound`."""
        if start >= end:
            return b""
        with storage_operation("get_range"), self._reading(key):
            return bytes(self._reads.get_range(key, start=start, end=end))

    def open_read(self, key: str, start: int, end: int) -> Iterator[bytes]:
        """The object's bytes from `start` to before `end`, in pieces; raises `ObjectNotFound`.

        Each piece is a request of its own, so that a slow reader keeps no connection open.
        """
        first, *others = pieces(start, end) or [(start, start)]
        return chain([self.read(key, *first)], (self.read(key, *piece) for piece in others))

    def delete_folder(self, folder: str) -> None:
        """Delete every object under `folder`, if there is any."""
        self._require_mount()
        with storage_operation("delete"), storage_errors(folder, writes=True):
            if self._folder is not None:
                # Also removes the remains of interrupted writes, which no listing shows.
                shutil.rmtree(self._folder / folder, onerror=_pass_over_missing)
                return
            for found in self._reads.list(f"{folder}/"):
                self._reads.delete([each["path"] for each in found])

    def marker(self) -> str | None:
        """The storage's id; None if it has none."""
        try:
            with storage_operation("get"), storage_errors(MARKER_KEY):
                return bytes(self._reads.get(MARKER_KEY).bytes()).decode("ascii", "replace").strip()
        except ObjectNotFound:
            return None

    def mark(self, storage_id: str) -> None:
        """Give the storage an id, unless it has one."""
        with storage_errors(MARKER_KEY, writes=True), suppress(AlreadyExistsError):
            try:
                self._reads.put(MARKER_KEY, f"{storage_id}\n".encode(), mode="create")
            except NotSupportedError:
                # A store without conditional writes: of two concurrent writers, the later one wins.
                self._reads.put(MARKER_KEY, f"{storage_id}\n".encode())

    def expect_marker(self) -> None:
        """From now on, treat a storage without its marker as unmounted, not as empty."""
        self._has_marker = True

    def _require_mount(self) -> None:
        """Raise `Unavailable` before a write to an unmounted volume makes a new folder there."""
        if self._has_marker and self._folder is not None:
            with storage_errors(MARKER_KEY):
                is_there = (self._folder / MARKER_KEY).is_file()
            if not is_there:
                raise _unmounted()

    @contextmanager
    def _reading(self, key: str) -> Iterator[None]:
        """`storage_errors` for reads: an unmounted storage raises `Unavailable`."""
        try:
            with storage_errors(key):
                yield
        except ObjectNotFound:
            if self._has_marker and self.marker() is None:
                raise _unmounted() from None
            raise


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder for a file before it is stored; raises `Unavailable` if the disk is full."""
    try:
        folder = TemporaryDirectory()
    except OSError as error:
        raise Unavailable(f"there is no room for the audio: {error}") from error
    with folder as name:
        yield Path(name)


def pieces(start: int, end: int) -> list[tuple[int, int]]:
    """The ranges of at most `PIECE_BYTES` that make up the one from `start` to before `end`."""
    return [(at, min(at + PIECE_BYTES, end)) for at in range(start, end, PIECE_BYTES)]


def _remote(
    url: str, timeouts: ClientConfig, limits: StorageLimits, retry_s: float | None = None
) -> ObjectStore:
    """A store with timeouts; it retries a request whose connection broke, not a timeout."""
    connect_s = min(2.0, limits.silent_s)
    options: ClientConfig = {**_environment(url), **timeouts, "connect_timeout": _s(connect_s)}
    retry: RetryConfig = {
        "max_retries": 2,
        "retry_timeout": timedelta(seconds=retry_s or 0.75 * limits.silent_s),
        "backoff": {
            "init_backoff": timedelta(seconds=0.1),
            "max_backoff": timedelta(seconds=0.5),
            "base": 2,
        },
    }
    store: ObjectStore = from_url(url, client_options=options, retry_config=retry)
    return store


def _environment(url: str) -> Any:
    """The connection options of the environment, by obstore's names."""
    scheme = urlsplit(url).scheme
    if scheme not in _PROVIDERS:
        return {"allow_http": "true"} if scheme == "http" else {}
    names = ((name, f"{_PROVIDERS[scheme]}{name.upper()}") for name in _FROM_ENVIRONMENT)
    return {name: os.environ[variable] for name, variable in names if os.environ.get(variable)}


def _s(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def _pass_over_missing(_function: object, _path: object, found: Any) -> None:
    """Ignore files that another process has deleted meanwhile; raise every other error."""
    if not isinstance(found[1], FileNotFoundError):
        raise found[1]


def _unmounted() -> Unavailable:
    return Unavailable(
        f"the storage has lost its marker {MARKER_KEY!r}: is its volume mounted, "
        "or its bucket emptied?"
    )
