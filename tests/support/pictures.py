"""Small pictures, made here."""

from __future__ import annotations

import struct
import zlib


def png(width: int = 4, height: int = 6) -> bytes:
    """A red PNG."""
    rows = (b"\0" + b"\xc8\x1e\x1e" * width) * height

    def chunk(kind: bytes, content: bytes) -> bytes:
        ended = kind + content
        return struct.pack(">I", len(content)) + ended + struct.pack(">I", zlib.crc32(ended))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def jpeg(width: int = 4, height: int = 6) -> bytes:
    """The headers of a JPEG: as much as a file that carries it is concerned with."""
    jfif = b"\xff\xe0" + struct.pack(">H5sHBHHBB", 16, b"JFIF\0", 0x0102, 0, 1, 1, 0, 0)
    frame = b"\xff\xc0" + struct.pack(">HBHHB", 11, 8, height, width, 1) + b"\x01\x11\x00"
    return b"\xff\xd8" + jfif + frame + b"\xff\xd9"
