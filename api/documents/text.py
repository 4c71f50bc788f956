"""Plain text."""

from __future__ import annotations

import codecs
from typing import BinaryIO

from api.documents.encoding import decode_text
from api.documents.errors import too_long, unreadable, unsupported
from api.documents.reading import (
    FrontMatter,
    Notes,
    Reading,
    warn_of_marks,
    warn_of_notes,
    warn_of_scripts,
)
from api.documents.sections import select
from api.text.contents_page import contents_pages
from api.text.headings import headings
from api.text.lines import mark_lines
from api.text.markup import silence_markup
from api.text.note_marks import silence, silence_notes
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
    warn_of_scripts(text, reading)
    text, tags, entities = silence_markup(text)
    if tags or entities:
        told = f"tags that are not spoken: {tags:,}; entities read as characters: {entities:,}"
        reading.warnings.add("markup_skipped", told)
    if not text.isascii() or "[" in text or "*" in text:
        text, skipped, unlinked = silence_notes(text, skip=reading.options.notes is Notes.SKIP)
        warn_of_notes(skipped, reading)
        warn_of_marks(unlinked, reading)
    text, paragraphs, words = mark_lines(text)
    if paragraphs:
        told = f"ends of lines that were taken for ends of paragraphs: {paragraphs:,}"
        reading.warnings.add("lines_are_paragraphs", told)
    if words:
        told = f"words that were joined over the end of a line: {words:,}"
        reading.warnings.add("words_joined", told)
    text = without_contents(text, reading)
    return select(Document(text, headings(text)), reading, keep_length=True)


def without_contents(text: str, reading: Reading) -> str:
    """A text of the same length without its page of contents, unless front matter is read."""
    if reading.options.front_matter is FrontMatter.READ:
        return text
    pages = contents_pages(text)
    for start, _ in pages:
        place = " ".join(text[start : start + 40].split())
        reading.warnings.add("contents_page_skipped", "a page of contents is left out", place)
    return silence(text, pages) if pages else text


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
