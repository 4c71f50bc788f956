"""EPUB 2 and 3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO

from api.documents import opf
from api.documents.archive import Archive
from api.documents.builder import PARAGRAPH_SEPARATOR, DocumentBuilder
from api.documents.chapters import choose, find_contents_pages
from api.documents.matter import Kind
from api.documents.metadata import author_of, details_of
from api.documents.notes import remove_notes
from api.documents.parts import Part, divide
from api.documents.reading import Reading, warn_of_scripts
from api.documents.sections import section, selected, warn_of_matter
from api.documents.xhtml import PageReader
from shared.document import Document, Section

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
    named = {mark.page for mark in book.marks if mark.kind is Kind.CONTENTS}
    contents_pages = find_contents_pages(pages, named, look_up)
    others = [page for page in pages if page.name not in contents_pages]
    chapters = choose(others, book.contents, reading)
    builder = DocumentBuilder(reading.max_chars)
    sections = _add(divide(pages, chapters, book.marks, contents_pages), builder, reading)
    language = LANGUAGES_BY_CODE.get(
        (book.language or "").strip().lower().replace("_", "-").partition("-")[0]
    )
    document = builder.document(name=book.title, author=author_of(book), language=language)
    warn_of_scripts(document.text, reading)
    return document._replace(sections=sections, details=details_of(archive, book, reading))


def _add(parts: Sequence[Part], builder: DocumentBuilder, reading: Reading) -> tuple[Section, ...]:
    """Add the parts that are spoken to a document; returns the sections of all that have text."""
    filled = [(part, lines) for part in parts if (lines := list(part.lines()))]
    spoken = selected([part.kind for part, _ in filled], reading)
    sections: list[Section] = []
    left_out: list[str] = []
    for number, (part, lines) in enumerate(filled):
        is_spoken = number in spoken
        text = PARAGRAPH_SEPARATOR.join(lines)
        sections.append(section(part.title, part.kind, text, is_spoken=is_spoken))
        if is_spoken:
            if part.begins_chapter and part.title:
                builder.mark(part.title, builder.end)
            for paragraph in lines:
                builder.add_line(paragraph)
        elif reading.options.chapters is None and part.kind is Kind.CONTENTS:
            told = "a page of contents is left out"
            reading.warnings.add("contents_page_skipped", told, part.page)
        elif reading.options.chapters is None:
            left_out.append(part.title or part.kind.replace("_", " "))
    warn_of_matter(left_out, reading)
    return tuple(sections)
