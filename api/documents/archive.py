"""Untrusted zip archives: bytes are counted while they are read, not by the archive's header."""

from __future__ import annotations

import posixpath
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO, cast

from api.documents.errors import unreadable

MAX_DIRECTORY_BYTES = 2**20
MAX_MEMBERS = 10_000
MAX_NAME_CHARS = 1_024  # each link in the book is joined to the name of its page
MAX_MEMBER_BYTES = 32 * 2**20
MAX_TOTAL_BYTES = 128 * 2**20
CHUNK_BYTES = 2**16
ENCRYPTED_FLAG, UTF8_FLAG = 0x1, 0x800
# The two that EPUB allows; others may unpack to gigabytes.
COMPRESSION_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
ARCHIVE_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    OSError,
    ValueError,
)


class Archive:
    """The members of a zip archive by name, read within bounds.

    Raises `InvalidRequest` if the archive is broken, encrypted or unpacks to too much.
    """

    def __init__(self, file: BinaryIO) -> None:
        with _archive_errors():
            self._zip = zipfile.ZipFile(cast(BinaryIO, _BoundedFile(file)))
        self._members = {info.filename: info for info in self._zip.infolist()}
        if len(self._members) > MAX_MEMBERS:
            raise _too_many()
        if any(len(name) > MAX_NAME_CHARS for name in self._members):
            raise unreadable(
                f"a file in the book has a name of more than {MAX_NAME_CHARS:,} characters: "
                "export the book again"
            )
        self._names: dict[str, str] = {}
        for name, info in self._members.items():
            self._names.setdefault(_key(name), name)
            if not info.flag_bits & UTF8_FLAG and not name.isascii():
                # The name says that it is in code page 437, and is in UTF-8.
                with suppress(UnicodeError):
                    self._names.setdefault(_key(name.encode("cp437").decode()), name)
        self._left_bytes = MAX_TOTAL_BYTES

    def names(self) -> list[str]:
        """The names of all members but folders, in the order of the archive."""
        return [name for name in self._members if not name.endswith("/")]

    def find(self, path: str) -> str | None:
        """The name of the member at `path`: the exact one, else one of another spelling.

        Another spelling is one in another case, with backslashes, with `./` or `/` before it, or
        with its accents apart.
        """
        return path if path in self._members else self._names.get(_key(path))

    def read(self, name: str, most_bytes: int) -> bytes:
        """The content of a member, of at most `most_bytes`."""
        return b"".join(self.chunks(name, most_bytes))

    def chunks(self, name: str, most_bytes: int = MAX_MEMBER_BYTES) -> Iterator[bytes]:
        """Yield a member in chunks of 64 KiB."""
        info = self._members[name]
        if info.flag_bits & ENCRYPTED_FLAG:
            raise unreadable("the book is protected by a password: send it without one")
        if info.compress_type not in COMPRESSION_METHODS:
            raise unreadable(
                f"{name!r} is compressed in a way that EPUB does not know: zip it anew"
            )
        with _archive_errors(), self._zip.open(info) as member:
            while chunk := member.read(CHUNK_BYTES):
                most_bytes -= len(chunk)
                self._left_bytes -= len(chunk)
                if min(most_bytes, self._left_bytes) < 0:
                    raise unreadable(f"{name!r} unpacks to too many bytes: split the book")
                yield chunk


class _BoundedFile:
    """A file with bounded reads: `zipfile` reads the directory of an archive in a single read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        content = self._file.read(
            size if 0 <= size <= MAX_DIRECTORY_BYTES else MAX_DIRECTORY_BYTES + 1
        )
        if len(content) > MAX_DIRECTORY_BYTES:
            raise _too_many()
        return content


@contextmanager
def _archive_errors() -> Iterator[None]:
    try:
        yield
    except ARCHIVE_ERRORS as error:
        raise unreadable(f"the file is broken ({error}): export or download it again") from None


def _key(path: str) -> str:
    """A path without the differences of case, composition, slashes and a root of its own."""
    plain = posixpath.normpath(path.replace("\\", "/")).lstrip("/")
    return unicodedata.normalize("NFC", plain).casefold()


def _too_many() -> Exception:
    return unreadable(f"the file has more than {MAX_MEMBERS:,} files in it: split the book")
