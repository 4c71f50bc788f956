"""Plain text in UTF-8, or in UTF-16 with a byte order mark."""

from __future__ import annotations

import codecs
from typing import BinaryIO

from api.documents.errors import too_long, unreadable, unsupported
from api.documents.reading import Notes, Reading, warn_of_notes
from api.text.headings import headings
from api.text.note_marks import silence_notes
from shared.document import Document

UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
MAX_BYTES_PER_CHAR = 4  # in UTF-8 and in UTF-16


def read(file: BinaryIO, reading: Reading) -> Document:
    """Read a plain text; its headings begin its chapters."""
    return prepare(decode(file, reading), reading)


def prepare(text: str, reading: Reading) -> Document:
    """The document of a plain text, whose length stays, so that its ranges hold.

    What is not to be spoken of it, such as notes, is replaced by characters that are silent.
    """
    if not text.isascii() or "[" in text or "*" in text:
        text, skipped = silence_notes(text, skip=reading.notes is Notes.SKIP)
        warn_of_notes(skipped, reading)
    return Document(text, headings(text))


def decode(file: BinaryIO, reading: Reading) -> str:
    """The characters of a file in UTF-8, or in UTF-16 with a byte order mark.

    Raises `InvalidRequest` if it is neither or has more than `max_chars` characters, and
    `UnsupportedMedia` if it is no text at all.
    """
    max_chars = reading.max_chars
    most = MAX_BYTES_PER_CHAR * (max_chars + 1)
    content = file.read(most + 1)
    if len(content) > most:
        raise too_long(max_chars)
    encoding = "utf-16" if content.startswith(UTF16) else "utf-8-sig"
    if encoding != "utf-16" and 0 in content:
        raise unsupported("the file is binary, not text")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise unreadable(
            f"the file is not {error.encoding.upper()} from byte {error.start:,} on: "
            "save it as UTF-8 and send it again"
        ) from None
    if len(text) > max_chars:
        raise too_long(max_chars)
    return text
