"""The text of a book's pages, parsed as a stream: no tree is built, to save memory."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from lxml import etree

from api.documents.builder import DocumentBuilder
from api.documents.encoding import decode_page
from api.documents.errors import unreadable
from api.text.cpu_limit import check_cpu

MAX_DEPTH = 200
MAX_MARKS = 2_000_000  # tags, attributes and text nodes in a book; a novel has thousands
MAX_TAG_CHARS = 2**16
HEADING_TAGS = frozenset(("h1", "h2", "h3", "h4", "h5", "h6"))
BLOCK_TAGS = HEADING_TAGS | frozenset(
    (
        *("address", "article", "aside", "blockquote", "body", "caption", "dd", "details", "div"),
        *("dl", "dt", "figcaption", "figure", "footer", "form", "header", "hr", "html", "legend"),
        *("li", "main", "nav", "ol", "p", "pre", "section", "summary", "table", "tr", "ul"),
    )
)
CELL_TAGS = frozenset(("td", "th"))
UNSPOKEN_TAGS = frozenset(
    (
        *("audio", "head", "iframe", "math", "noscript", "object", "rp", "rt", "script", "style"),
        *("svg", "template", "title", "video"),
    )
)
# Values of epub:type, and of role after "doc-": notes, their marks, and printed page numbers.
UNSPOKEN_TYPES = frozenset(("noteref", "footnote", "endnote", "rearnote", "backlink", "pagebreak"))
# XHTML may write any element as `<p/>`; an HTML parser would leave it open.
SELF_CLOSED_TAG = re.compile(r"<([^\s<>/!?]+)(\s[^<>]*)?/>")


class PageMarks(NamedTuple):
    """The offsets of a page's anchors in the text, and its first heading with its offset."""

    anchors: Mapping[str, int]
    heading: tuple[str, int] | None


class PageReader:
    """Adds the text of pages to a builder, a paragraph for each block element.

    It reads XHTML as HTML, which tolerates pages that are not well-formed and has only HTML's own
    entities. It is also the parser's target: the parser calls `start`, `end`, `data` and `close`.
    Raises `InvalidRequest` if there are too many tags, or if they are nested too deeply.
    """

    def __init__(self, builder: DocumentBuilder) -> None:
        self._builder = builder
        self._marks = 0

    def read(self, chunks: Iterable[bytes], name: str, anchors: set[str]) -> PageMarks:
        """Add a page to the builder; returns the offsets of those `anchors` that are ids on it."""
        self._wanted, self._anchors = anchors, dict[str, int]()
        self._heading: tuple[str, int] | None = None
        self._words: list[str] = []
        self._held = 0
        self._depth = self._unspoken = 0
        self._in_heading = False
        # The parser's own bounds would truncate a page silently; `_count` raises.
        parser = etree.HTMLParser(target=self, encoding="utf-8", huge_tree=True)
        parser.feed(b"<html>")  # so that a page is never empty
        for text in _whole_tags(decode_page(chunks, name)):
            check_cpu()
            parser.feed(SELF_CLOSED_TAG.sub(r"<\1\2></\1>", text).encode())
        parser.close()
        return PageMarks(self._anchors, self._heading)

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """Begin an element."""
        self._depth += 1
        self._count(1 + len(attributes))
        if self._unspoken or tag in UNSPOKEN_TAGS or (attributes and _is_unspoken(attributes)):
            self._unspoken += 1
        elif tag in BLOCK_TAGS:
            self._end_paragraph()
            self._in_heading |= tag in HEADING_TAGS
        elif tag in CELL_TAGS and self._words:
            self._words.append(", ")
        elif tag == "br":
            self._words.append(" ")
        for anchor in (attributes.get("id"), attributes.get("name")):
            if anchor in self._wanted:
                self._anchors.setdefault(anchor, self._builder.end)

    def end(self, tag: str) -> None:
        """End an element."""
        self._depth -= 1
        if self._unspoken:
            self._unspoken -= 1
        elif tag in BLOCK_TAGS:
            self._end_paragraph()
            self._in_heading &= tag not in HEADING_TAGS

    def data(self, text: str) -> None:
        """Add a text node."""
        self._count(1)
        if not self._unspoken:
            text = " " if text.isspace() else text
            self._words.append(text)
            self._held += len(text)
            self._builder.check(self._held)

    def close(self) -> None:
        """End the page."""
        self._end_paragraph()

    def _count(self, marks: int) -> None:
        self._marks += marks
        if self._depth > MAX_DEPTH or self._marks > MAX_MARKS:
            raise unreadable("the book's pages have too many tags: export it as plain text")

    def _end_paragraph(self) -> None:
        if not self._words:
            return
        start, self._held = self._builder.end, 0
        added = self._builder.add("".join(self._words))
        self._words.clear()
        if added and self._in_heading and self._heading is None:
            self._heading = added, start


def _is_unspoken(attributes: Mapping[str, str]) -> bool:
    """True if an element is hidden, a note, a mark of a note or a page number."""
    if attributes.get("aria-hidden") == "true" or "hidden" in attributes:
        return True
    types = attributes.get("epub:type", "").split()
    roles = (role.removeprefix("doc-") for role in attributes.get("role", "").split())
    return not UNSPOKEN_TYPES.isdisjoint((*types, *roles))


def _whole_tags(texts: Iterable[str]) -> Iterator[str]:
    """Yield the text again, cut only outside tags: `a<b`, `r>c` → `a`, `<br>c`.

    Of a tag longer than `MAX_TAG_CHARS`, such as an inline picture, the middle is dropped.
    """
    held = ""
    for text in texts:
        text = held + text
        open_tag = text.find("<", text.rfind(">") + 1)
        cut = open_tag if open_tag >= 0 else len(text)
        yield text[:cut]
        held = text[cut : cut + MAX_TAG_CHARS]
    yield held
