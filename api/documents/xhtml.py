"""The blocks of a book's pages, parsed as a stream: no tree is built, to save memory."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from lxml import etree

from api.documents.blocks import HEADING_TAGS, LINE_BREAK, SPAN_BREAK, Block, Page, Run
from api.documents.encoding import decode_page
from api.documents.errors import too_long, unreadable
from api.documents.matter import Kind, kind_of_types
from api.documents.reading import Images, Notes, Reading
from api.text.cpu_limit import check_cpu

MAX_DEPTH = 200
MAX_MARKS = 2_000_000  # tags, attributes and text nodes in a book; a novel has thousands
MAX_IDS = 200_000  # ids of a book that are known as targets of links
MAX_TAG_CHARS = 2**16
BLOCK_TAGS = HEADING_TAGS | frozenset(
    (
        *("address", "article", "aside", "blockquote", "body", "caption", "dd", "details", "div"),
        *("dl", "dt", "figcaption", "figure", "footer", "form", "header", "hr", "html", "legend"),
        *("li", "main", "nav", "ol", "p", "pre", "section", "summary", "table", "tr", "ul"),
    )
)
BOLD_TAGS = frozenset(("b", "strong"))
INLINE_TAGS = BOLD_TAGS | {"span", "em", "i", "small", "big", "font", "a"}
CELL_TAGS = frozenset(("td", "th"))
UNSPOKEN_TAGS = frozenset(
    (
        *("audio", "head", "iframe", "math", "noscript", "object", "rp", "rt", "script", "style"),
        *("svg", "template", "title", "video"),
    )
)
# Values of epub:type, and of role after "doc-": marks of notes and page numbers; and notes.
UNSPOKEN_TYPES = frozenset(("noteref", "backlink", "pagebreak"))
NOTE_TYPES = frozenset(
    ("footnote", "endnote", "rearnote", "footnotes", "endnotes", "rearnotes", "note", "notes")
)
# Class names and ids of parts with notes: `footnotes`, `endnote`, `calibre-notes`, `notes_list`.
_NOTES_NAME = re.compile(
    r"(?:[a-z]{1,20}[-_])?(?:foot|end|rear)?[-_]?notes?(?:[-_](?:list|block|section|body|text))?",
    re.IGNORECASE,
)
_RAISED_NAME = re.compile(r"(?:[a-z]{1,20}[-_])?sup(?:er|erscript|script)?\d{0,3}", re.IGNORECASE)
# XHTML may write any element as `<p/>`; an HTML parser would leave it open.
SELF_CLOSED_TAG = re.compile(r"<([^\s<>/!?]+)(\s[^<>]*)?/>")
CDATA_START, CDATA_END = "<![CDATA[", "]]>"
_FILE_NAME = re.compile(r"\S{1,200}\.(?:jpe?g|png|gif|svg|webp)", re.IGNORECASE)
_HIDDEN = re.compile(r"\b(?:display\s{0,9}:\s{0,9}none|visibility\s{0,9}:\s{0,9}hidden)", re.I)
_FIRST_LETTER = re.compile(r"[“„«‘'\"¿¡]?[^\W\d_]")
_SPACES = re.compile(r"[ \t\r\n\f\u2028\u2029]+")


class PageReader:
    """Reads pages into blocks, one for each block element with text.

    It reads XHTML as HTML, which tolerates pages that are not well-formed and has only HTML's own
    entities. It is also the parser's target: the parser calls `start`, `end`, `data` and `close`.
    Raises `InvalidRequest` if there are too many tags or characters, or if the tags are nested too
    deeply.
    """

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        # Notes are read as well before it is known that they are not spoken.
        self._max_chars = 2 * reading.max_chars
        self._unspoken_types = UNSPOKEN_TYPES | (
            NOTE_TYPES if reading.options.notes is Notes.SKIP else frozenset()
        )
        self._marks = self._chars = self._ids = self._regions = 0

    def read(self, chunks: Iterable[bytes], name: str) -> Page:
        """The blocks of a page."""
        self._page = Page(name)
        self._targets: dict[str, tuple[int, int]] = {}
        self._runs: list[Run] = []
        self._parts: list[str] = []  # the text of the last run
        self._held = 0
        self._has_text = self._has_image = False
        self._unspoken = self._raised = self._bold = 0
        self._bold_chars = 0
        self._href: str | None = None
        self._region = 0
        self._kind: Kind | None = None
        self._headings: list[str] = []
        self._block_tag = "p"
        self._ended_inline = False  # the last thing in a heading was the end of an inline element
        self._elements: list[_Element] = []
        # The parser's own bounds would truncate a page silently; `_count` raises.
        parser = etree.HTMLParser(target=self, encoding="utf-8", huge_tree=True)
        parser.feed(b"<html>")  # so that a page is never empty
        for text in _whole_tags(_without_cdata(decode_page(chunks, name, self._reading))):
            check_cpu()
            parser.feed(SELF_CLOSED_TAG.sub(r"<\1\2></\1>", text).encode())
        parser.close()
        last = len(self._page.blocks) - 1
        self._page.ids = {
            name: (first, min(max(first, end), last))
            for name, (first, end) in self._targets.items()
        }
        return self._page

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """Begin an element; a prefix, as in `<h:p>`, counts for nothing."""
        if ":" in tag:
            tag = tag.rpartition(":")[2]
        self._count(1 + len(attributes))
        element = _Element(tag, self._href, self._region, self._kind)
        self._elements.append(element)
        if len(self._elements) > MAX_DEPTH:
            self._refuse()
        is_spoken = not self._unspoken and tag not in UNSPOKEN_TAGS
        if not is_spoken or (attributes and self._is_unspoken(attributes)):
            if tag == "math" and not self._unspoken:
                told = "formulas on the page are left out"
                self._reading.warnings.add("formulas_skipped", told, self._page.name)
            self._unspoken += 1
        elif tag in BLOCK_TAGS:
            self._end_block()
            self._block_tag = tag
            if tag in HEADING_TAGS:
                self._headings.append(tag)
            if attributes:
                types = _types(attributes)
                if not self._region and _is_notes_part(attributes, types):
                    self._regions += 1
                    self._region = self._regions
                if types:
                    self._kind = kind_of_types(types) or self._kind
        elif self._ended_inline and self._headings and self._has_text and tag in INLINE_TAGS:
            self._add(SPAN_BREAK)
        elif tag in CELL_TAGS and self._has_text:
            self._add(", ")
        elif tag == "br":
            self._add(LINE_BREAK)
        elif tag == "img":
            self._end_run()
            self._has_image = True
            self._runs.append(Run("", alt=attributes.get("alt")))
        elif tag == "a" and "href" in attributes:
            self._end_run()
            self._href = attributes["href"]
        if not self._unspoken and tag in BOLD_TAGS:
            self._bold += 1
        if tag == "sup" or (attributes and tag not in BLOCK_TAGS and _is_raised(attributes)):
            element.is_raised = True
            self._end_run()
            self._raised += 1
        if attributes and tag != "html" and tag != "body":
            ids = (attributes.get("id"), attributes.get("name"))
            element.ids = [name for name in ids if name]
            for name in element.ids:
                self._ids += 1
                if self._ids <= MAX_IDS:
                    self._targets.setdefault(name, (len(self._page.blocks), -1))

    def end(self, tag: str) -> None:
        """End an element."""
        if ":" in tag:
            tag = tag.rpartition(":")[2]
        element = self._elements.pop() if self._elements else _Element(tag, None, 0, None)
        if self._unspoken:
            self._unspoken -= 1
        elif tag in BLOCK_TAGS:
            self._end_block()
            if tag in HEADING_TAGS and self._headings:
                self._headings.pop()
        elif tag == "a":
            self._end_run()
        if not self._unspoken and tag in BOLD_TAGS:
            self._bold = max(0, self._bold - 1)
        self._ended_inline = tag in INLINE_TAGS
        if element.is_raised:
            self._end_run()
            self._raised -= 1
        self._href, self._region = element.outer_href, element.outer_region
        self._kind = element.outer_kind
        for name in element.ids:
            if name in self._targets:
                last = len(self._page.blocks) - (not self._has_text)
                self._targets[name] = self._targets[name][0], last

    def data(self, text: str) -> None:
        """Add a text node."""
        self._count(1)
        if not self._unspoken:
            if "  " in text or not text.isprintable():
                text = _SPACES.sub(" ", text)
            self._ended_inline = False
            self._add(text)
            if self._bold and not text.isspace():
                self._bold_chars += len(text)

    def close(self) -> None:
        """End the page."""
        self._end_block()

    def _add(self, text: str) -> None:
        self._parts.append(text)
        self._held += len(text)
        self._has_text = self._has_text or not text.isspace()
        if self._chars + self._held > self._max_chars:
            raise too_long(self._reading.max_chars)

    def _count(self, marks: int) -> None:
        self._marks += marks
        if self._marks > MAX_MARKS:
            self._refuse()

    def _refuse(self) -> None:
        raise unreadable("the book's pages have too many tags: export it as plain text")

    def _is_unspoken(self, attributes: Mapping[str, str]) -> bool:
        """True if an element is hidden, a note, a mark of a note or a page number."""
        if attributes.get("aria-hidden") == "true" or "hidden" in attributes:
            return True
        if "style" in attributes and _HIDDEN.search(attributes["style"]):
            return True
        types = self._unspoken_types.intersection(_types(attributes))
        if not types:
            return False
        self._page.skipped_notes += bool(types & {"footnote", "endnote", "rearnote", "note"})
        return bool(types)

    def _end_run(self) -> None:
        if self._parts:
            text = "".join(self._parts)
            self._runs.append(Run(text, self._href, self._raised > 0))
            self._parts.clear()

    def _end_block(self) -> None:
        if self._has_text or self._has_image:
            self._end_run()
            tag = self._headings[-1] if self._headings else self._block_tag
            if self._has_image:
                speaks_alt = self._reading.options.images is Images.ALT
                _settle_images(self._runs, is_heading=tag in HEADING_TAGS, speaks_alt=speaks_alt)
            block = Block(tag, self._runs, self._region, kind=self._kind)
            chars = len(block.text)
            block.is_bold = self._bold_chars > 0 and self._bold_chars >= 0.9 * chars
            if self._has_text or any(run.alt for run in self._runs):
                self._chars += chars
                self._page.blocks.append(block)
            self._has_text = self._has_image = False
        if self._runs:
            self._runs = []
        self._parts.clear()
        self._held = self._bold_chars = 0


def _settle_images(runs: Sequence[Run], *, is_heading: bool, speaks_alt: bool) -> None:
    """Let images speak their `alt` where they are text: a whole heading, or a first letter.

    With `speaks_alt` others speak it too, unless it is the name of a file.
    """
    has_text = False
    for run, following in zip(runs, [*runs[1:], None], strict=True):
        alt = (run.alt or "").strip()
        is_letter = _FIRST_LETTER.fullmatch(alt) is not None and not has_text
        if is_letter and following is not None and following.text.strip():
            run.text = alt
        elif speaks_alt and alt and not _FILE_NAME.fullmatch(alt):
            run.text = f" {alt} "
        has_text = has_text or any(map(str.isalnum, run.text))
    if is_heading and not has_text:
        for run in runs:
            is_title = run.alt and not _FILE_NAME.fullmatch(run.alt.strip())
            run.text = f"{run.alt} " if is_title else run.text


class _Element:
    """An element that is open, with what was in force outside of it."""

    __slots__ = ("ids", "is_raised", "outer_href", "outer_kind", "outer_region", "tag")

    def __init__(
        self, tag: str, outer_href: str | None, outer_region: int, outer_kind: Kind | None
    ) -> None:
        self.tag = tag
        self.outer_href, self.outer_region = outer_href, outer_region
        self.outer_kind = outer_kind
        self.is_raised = False
        self.ids: Sequence[str] = ()


def _types(attributes: Mapping[str, str]) -> Sequence[str]:
    if "epub:type" not in attributes and "role" not in attributes:
        return ()
    roles = (role.removeprefix("doc-") for role in attributes.get("role", "").split())
    return (*attributes.get("epub:type", "").split(), *roles)


def _is_notes_part(attributes: Mapping[str, str], types: Sequence[str]) -> bool:
    names = (*attributes.get("class", "").split(), attributes.get("id", ""), *types)
    # The first condition is quick, and seldom true.
    return any("note" in name.lower() and _NOTES_NAME.fullmatch(name) for name in names)


def _is_raised(attributes: Mapping[str, str]) -> bool:
    if "style" in attributes:
        style = attributes["style"].replace(" ", "").lower()
        if "vertical-align:super" in style:
            return True
    names = attributes.get("class", "")
    return "sup" in names.lower() and any(map(_RAISED_NAME.fullmatch, names.split()))


def _without_cdata(texts: Iterable[str]) -> Iterator[str]:
    """Yield the text again, with the content of `<![CDATA[a < b]]>` as `a &lt; b`.

    An HTML parser would take such a section for a comment.
    """
    held, is_inside = "", False
    for text in texts:
        held += text
        start = 0
        while (place := held.find(CDATA_END if is_inside else CDATA_START, start)) >= 0:
            part = held[start:place]
            yield html.escape(part) if is_inside else part
            start = place + len(CDATA_END if is_inside else CDATA_START)
            is_inside = not is_inside
        # The end may be the beginning of a mark.
        cut = max(start, len(held) - len(CDATA_START) + 1)
        yield html.escape(held[start:cut]) if is_inside else held[start:cut]
        held = held[cut:]
    yield html.escape(held) if is_inside else held


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
