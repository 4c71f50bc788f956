"""Plain text."""

from __future__ import annotations

import codecs
from typing import BinaryIO

from api.documents.encoding import decode_text
from api.documents.errors import too_long, unreadable, unsupported
from api.documents.reading import Notes, Reading, warn_of_notes
from api.documents.sections import select
from api.text.headings import headings
from api.text.lines import mark_lines
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
        text, skipped = silence_notes(text, skip=reading.options.notes is Notes.SKIP)
        warn_of_notes(skipped, reading)
    text, paragraphs, words = mark_lines(text)
    if paragraphs:
        told = f"ends of lines that were taken for ends of paragraphs: {paragraphs:,}"
        reading.warnings.add("lines_are_paragraphs", told)
    if words:
        told = f"words that were joined over the end of a line: {words:,}"
        reading.warnings.add("words_joined", told)
    return select(Document(text, headings(text)), reading, keep_length=True)


def decode(file: BinaryIO, reading: Reading) -> str:
    """The characters of a text file in any encoding that can be told.

    Raises `InvalidRequest` if it cannot, or if there are more than `max_chars` characters, and
    `UnsupportedMedia` if it is no text at all.
    """
    max_chars = reading.max_chars
    most = MAX_BYTES_PER_CHAR * (max_chars + 1)
    content = file.read(most + 1)
    if len(content) > most:
        raise too_long(max_chars)
    text = decode_text(content, reading)
    if text is None and (0 in content) and not content.startswith(UTF16):
        raise unsupported("the file is binary, not text")
    if text is None:
        raise unreadable("the file is text in no known encoding: save it as UTF-8, send it again")
    if len(text) > max_chars:
        raise too_long(max_chars)
    return text
