"""EPUB 2 and 3."""

from __future__ import annotations

from typing import BinaryIO

from api.documents import opf
from api.documents.archive import Archive
from api.documents.blocks import paragraphs
from api.documents.builder import DocumentBuilder
from api.documents.chapters import choose, skip_contents_pages
from api.documents.metadata import author_of, details_of
from api.documents.notes import remove_notes
from api.documents.reading import Reading
from api.documents.xhtml import PageReader
from shared.document import Document

MEDIA_TYPE = "application/epub+zip"
# The models' languages by the two or three letters that dc:language begins with.
LANGUAGES_BY_CODE = {
    code: name
    for codes, name in (
        ("zh zho chi cmn", "chinese"),
        ("en eng", "english"),
        ("de deu ger", "german"),
        ("it ita", "italian"),
        ("pt por", "portuguese"),
        ("es spa", "spanish"),
        ("ja jpn", "japanese"),
        ("ko kor", "korean"),
        ("fr fra fre", "french"),
        ("ru rus", "russian"),
    )
    for code in codes.split()
}


def has_epub_magic(head: bytes) -> bool:
    """True if a file that begins with `head` is an EPUB: its first member is its media type."""
    return head.startswith(b"PK\x03\x04") and head[30:].startswith(
        b"mimetype" + MEDIA_TYPE.encode()
    )


def read(file: BinaryIO, reading: Reading) -> Document:
    """Read the text of a book in the order of its spine, with the chapters of its contents page.

    A book without a usable contents page has the chapters that its pages' headings name.
    Source: the EPUB 3.3 and OPF 2.0.1 specifications.
    """
    archive = Archive(file)
    book = opf.read(archive, reading)

    def look_up(page: str, href: str) -> tuple[str | None, str]:
        return opf.resolve(archive, page, href)

    reader = PageReader(reading)
    pages = [reader.read(archive.chunks(page), page) for page in book.spine]
    remove_notes(pages, look_up, reading)
    skip_contents_pages(pages, book.contents_pages, look_up, reading)
    chapters = choose(pages, book.contents, reading)
    builder = DocumentBuilder(reading.max_chars)
    for page in pages:
        starts = []
        for block in page.blocks:
            starts.append(builder.end)
            for paragraph in paragraphs(block) if block.is_spoken else ():
                builder.add(paragraph)
        starts.append(builder.end)
        for chapter in chapters.get(page.name, ()):
            builder.mark(chapter.title, starts[chapter.block])
    language = LANGUAGES_BY_CODE.get(
        (book.language or "").strip().lower().replace("_", "-").partition("-")[0]
    )
    document = builder.document(name=book.title, author=author_of(book), language=language)
    return document._replace(details=details_of(archive, book, reading))
