"""A zip archive of chapter files, such as `part 01.txt` to `part 12.txt`: one book."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import PurePosixPath
from typing import BinaryIO

from api.documents import epub, markdown
from api.documents import text as plain
from api.documents.archive import Archive
from api.documents.builder import PARAGRAPH_SEPARATOR, title
from api.documents.errors import refuse_foreign, too_long, unsupported
from api.documents.opf import CONTAINER
from api.documents.reading import Reading
from api.documents.sections import select
from api.documents.warnings import WarningLog
from shared.document import Chapter, Document
from shared.errors import InvalidRequest, TooComplex, UnsupportedMedia

MEDIA_TYPE = "application/zip"
READERS = {".txt": plain.read, ".md": markdown.read, ".markdown": markdown.read}
# What programs and systems put beside the files of a reader.
_HIDDEN = re.compile(r"(?:^|/)(?:\.|__MACOSX/|thumbs\.db)", re.IGNORECASE)
_NUMBERS = re.compile(r"(\d{1,9})")
_LEADING_NUMBER = re.compile(r"\A\d{1,4}\s?[-–—._)]\s?(?=\S)")


def read(file: BinaryIO, reading: Reading) -> Document:
    """Read the text and Markdown files of an archive in the order of their names.

    Numbers in names count as numbers: `part 2` is before `part 10`. A file without a heading at its
    beginning is a chapter of the file's name. Other files are left out, with a warning. An EPUB
    under the name of an archive is read as one.
    """
    archive = Archive(file)
    if archive.find(CONTAINER) is not None:
        file.seek(0)
        return epub.read(file, reading)
    names = [name for name in archive.names() if not _HIDDEN.search(name)]
    kept = sorted((name for name in names if _suffix(name) in READERS), key=_order)
    if not kept:
        raise unsupported("the zip archive has no text or Markdown files in it")
    texts: list[str] = []
    chapters: list[Chapter] = []
    size = 0
    for name, document in _documents(archive, kept, reading):
        first = len(document.text) - len(document.text.lstrip())
        if document.chapters and document.chapters[0].start <= first:
            own = document.chapters
        else:
            own = (Chapter(_title(document, name), 0), *document.chapters)
        chapters += (each._replace(start=size + each.start) for each in own)
        texts.append(document.text)
        size += len(document.text) + len(PARAGRAPH_SEPARATOR)
        if size > reading.max_chars + len(PARAGRAPH_SEPARATOR):
            raise too_long(reading.max_chars)
    for name in names:
        if name not in kept:
            reading.warnings.add("file_left_out", "the file is no text or Markdown", name)
    book = Document(PARAGRAPH_SEPARATOR.join(texts), tuple(chapters))
    return select(book, reading, keep_length=False)


def _documents(
    archive: Archive, names: list[str], reading: Reading
) -> Iterator[tuple[str, Document]]:
    """Yield the files that have words, each read with its name in its warnings."""
    for name in names:
        log = WarningLog()
        whole = replace(reading.options, chapters=None)
        content = b"".join(archive.chunks(name))
        try:
            refuse_foreign(content[:512])
            own = replace(reading, options=whole, warnings=log)
            document = READERS[_suffix(name)](io.BytesIO(content), own)
        except (InvalidRequest, UnsupportedMedia) as error:
            if isinstance(error, TooComplex) or len(content) > reading.max_chars:
                raise
            reading.warnings.add("file_left_out", error.message.partition(":")[0], name)
            continue
        for code, message, where in log.listed():
            reading.warnings.add(code, message, f"{name}: {where}" if where else name)
        if any(map(str.isalnum, document.text)):
            yield name, document
        else:
            reading.warnings.add("file_left_out", "the file has nothing to speak in it", name)


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _order(name: str) -> list[tuple[int, str]]:
    """The place of a name among others: `part 2` before `part 10`."""
    parts = _NUMBERS.split(name.casefold())
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def _title(document: Document, name: str) -> str:
    """The title of a file that begins without a heading: its own, else its name.

    Example: `02 - The Inn.txt` gives `The Inn`, and `part 01.txt` gives `part 01`.
    """
    stem = PurePosixPath(name).stem
    return document.title or title(_LEADING_NUMBER.sub("", stem, count=1)) or stem
