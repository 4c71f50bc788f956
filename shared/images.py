"""Pictures for covers: their kind and size, by their first bytes."""

from __future__ import annotations

import struct
from typing import NamedTuple

MAX_COVER_BYTES = 8 * 2**20
MAX_SIDE = 10_000
COVER_ADVICE = f"send a whole JPEG or PNG of at most {MAX_COVER_BYTES // 2**20} MiB, 10,000 pixels"
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_END, _JPEG_END = b"IEND", b"\xff\xd9"
_JPEG = b"\xff\xd8\xff"
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


class Picture(NamedTuple):
    """A picture's media type and its size in pixels."""

    media_type: str
    width: int
    height: int

    @property
    def codec(self) -> str:
        """FFmpeg's name for the encoding."""
        return "png" if self.media_type == "image/png" else "mjpeg"


def picture_of(content: bytes) -> Picture | None:
    """The kind of a whole JPEG or PNG of usable size; None for all else."""
    if len(content) > MAX_COVER_BYTES:
        return None
    found = None
    if content.startswith(_PNG) and content[12:16] == b"IHDR" and len(content) > 24:
        found = Picture("image/png", *struct.unpack(">II", content[16:24]))
    elif content.startswith(_JPEG):
        found = _jpeg(content)
    # A file that was cut short lacks its end.
    is_whole = content.rfind(_PNG_END if content.startswith(_PNG) else _JPEG_END) > 0
    if found is None or not is_whole or not 0 < min(found[1:]) <= max(found[1:]) <= MAX_SIDE:
        return None
    return found


def _jpeg(content: bytes) -> Picture | None:
    """The size in the first frame header of a JPEG."""
    at = 2
    while at + 9 <= len(content) and content[at] == 0xFF:
        marker, length = content[at + 1], int.from_bytes(content[at + 2 : at + 4], "big")
        if marker in _START_OF_FRAME:
            height, width = struct.unpack(">HH", content[at + 5 : at + 9])
            return Picture("image/jpeg", width, height)
        if marker == 0xFF:  # a fill byte
            at += 1
        else:
            at += 2 + length
    return None
