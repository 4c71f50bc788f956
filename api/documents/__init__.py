"""Documents for narration: from an uploaded file to its text and chapters."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import BinaryIO

from api.documents import chapter_files, epub, markdown
from api.documents import text as plain
from api.documents.errors import refuse_foreign, unreadable, unsupported
from api.documents.reading import DEFAULT_OPTIONS, Reading, ReadingOptions
from shared.document import Document

MEDIA_TYPES = {
    ".txt": "text/plain",
    ".md": "text/markdown",
    ".markdown": "text/markdown",
    ".epub": epub.MEDIA_TYPE,
    ".zip": chapter_files.MEDIA_TYPE,
}
READERS = {
    "text/plain": plain.read,
    "text/markdown": markdown.read,
    epub.MEDIA_TYPE: epub.read,
    chapter_files.MEDIA_TYPE: chapter_files.read,
}
ZIP_MAGIC = b"PK\x03\x04"


def read(
    file: BinaryIO,
    *,
    name: str | None,
    media_type: str | None,
    max_chars: int,
    options: ReadingOptions = DEFAULT_OPTIONS,
) -> Document:
    """Read a plain text, a Markdown or an EPUB file, or a zip archive of texts, from its beginning.

    The file has to be seekable.
    The text is normalised as `api.text.normalise` does it, so that the chapters' offsets hold.
    Raises `UnsupportedMedia` if the file is of another kind, and `InvalidRequest` if it is broken,
    protected, empty or has more than `max_chars` characters, or if `options.chapters` are not its.
    """
    reading = Reading(max_chars, options, _charset(media_type or ""))
    document = READERS[_kind(file, name, media_type)](file, reading)
    if not any(map(str.isalnum, document.text)):
        raise unreadable("the file has nothing to speak in it: send one with text")
    return document._replace(warnings=reading.warnings.listed())


def _charset(media_type: str) -> str | None:
    """The `charset` of a Content-Type: `text/plain; charset="gbk"` → `gbk`."""
    for parameter in media_type.split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            return value.strip().strip('"') or None
    return None


def prepare(text: str, options: ReadingOptions = DEFAULT_OPTIONS) -> Document:
    """The document of a plain text that is known, of the same length, so that its ranges hold."""
    reading = Reading(len(text), options)
    return plain.prepare(text, reading)._replace(warnings=reading.warnings.listed())


def _kind(file: BinaryIO, name: str | None, media_type: str | None) -> str:
    """The media type of a file, by its content, else by its name or the client's Content-Type."""
    file.seek(0)
    head = file.read(512)
    file.seek(0)
    by_name = MEDIA_TYPES.get(PurePosixPath(name or "").suffix.lower())
    by_header = (media_type or "").partition(";")[0].strip().lower()
    said = by_name or (by_header if by_header in READERS else None)
    if epub.has_epub_magic(head):
        return epub.MEDIA_TYPE
    if head.startswith(ZIP_MAGIC) and said not in (epub.MEDIA_TYPE, chapter_files.MEDIA_TYPE):
        raise unsupported("the file is a zip archive, such as a DOCX file, but no EPUB")
    refuse_foreign(head)
    if said is None:
        raise unsupported(
            f"{(name or media_type or 'a file without a name')[:100]!r} is no such kind"
        )
    return said
