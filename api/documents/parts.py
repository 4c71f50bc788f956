"""The parts of a book: its chapters, and its front and back matter."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from api.documents.blocks import Block, Page, paragraphs
from api.documents.chapters import Heading
from api.documents.matter import (
    LONG_KINDS,
    MAX_LETTERS,
    SKIPPED_KINDS,
    Kind,
    kind_of_title,
)
from api.documents.opf import Mark
from api.text.cpu_limit import check_cpu

# A page that is called a page of contents has short lines, few of which are sentences.
MIN_ENTRIES, MAX_ENTRY_LETTERS, MAX_SENTENCE_SHARE = 3, 120, 0.2
# A longer part is not what it is called if it is more than half of the book.
MAX_SHORT_LETTERS = 2_000


@dataclass(slots=True)
class Part:
    """Blocks of a book in a row, from a page on; `begins_chapter` if one of that title does."""

    title: str | None
    kind: Kind
    begins_chapter: bool
    page: str
    blocks: list[Block] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """Yield its paragraphs as normalised lines."""
        for block in self.blocks:
            check_cpu()
            if block.is_spoken:
                yield from paragraphs(block)


def divide(
    pages: Sequence[Page],
    chapters: Mapping[str, Sequence[Heading]],
    marks: Sequence[Mark],
    contents_pages: Collection[str],
) -> list[Part]:
    """The parts of a book in order: one begins at each chapter, and where the kind changes.

    The kind of a part is that of its elements (`epub:type`), else what the guide, the landmarks or
    its title say, unless it is far too long for that.
    """
    parts: list[Part] = []
    if not any(page.blocks for page in pages):
        return parts
    book = _Book(pages, chapters)
    kinds = book.kinds(marks, contents_pages)
    carried: str | None = None  # the title of a chapter that begins with other matter
    before: Kind | None = None
    for number, block in enumerate(book.blocks):
        kind, title = kinds[number], book.starts.get(number)
        if number == 0 or title or kind is not before:
            if title is None and carried and kind is None and number not in book.page_starts:
                title = carried
            carried = title if kind in SKIPPED_KINDS else None
            begins_chapter = title is not None
            if title is None and block.is_heading:
                title = block.line or None
            named = kind or (Kind.CHAPTER if begins_chapter else Kind.TEXT)
            page = pages[bisect_right(book.page_starts, number) - 1].name
            parts.append(Part(title, named, begins_chapter, page))
        parts[-1].blocks.append(block)
        before = kind
    return parts


class _Book:
    """The blocks of all pages in a row, with the starts of chapters and pages among them."""

    def __init__(self, pages: Sequence[Page], chapters: Mapping[str, Sequence[Heading]]) -> None:
        self._pages = pages
        self.blocks = [block for page in pages for block in page.blocks]
        self.page_starts = list(accumulate((len(page.blocks) for page in pages), initial=0))
        self._numbers = {page.name: number for number, page in enumerate(pages)}
        self.starts: dict[int, str] = {}
        for page, start in zip(pages, self.page_starts, strict=False):
            for heading in chapters.get(page.name, ()):
                self.starts[start + heading.block] = heading.title
        self._bounds = sorted({*self.starts, *self.page_starts})
        letters = (len(block.text) if block.is_spoken else 0 for block in self.blocks)
        self._letters = list(accumulate(letters, initial=0))

    def kinds(self, marks: Sequence[Mark], contents_pages: Collection[str]) -> list[Kind | None]:
        """The kind of each block; None for the text itself."""
        kinds = [block.kind for block in self.blocks]
        self._drop_partial(kinds)
        for start, end, kind in (*self._marked(marks), *self._titled()):
            if self._fits(kind, start, end):
                kinds[start:end] = [each or kind for each in kinds[start:end]]
        for page, start in zip(self._pages, self.page_starts, strict=False):
            if page.name in contents_pages:
                kinds[start : start + len(page.blocks)] = [Kind.CONTENTS] * len(page.blocks)
        return [None if kind is Kind.CHAPTER else kind for kind in kinds]

    def _end(self, start: int) -> int:
        """The end of the chapter or page at `start`, whichever is first."""
        following = bisect_right(self._bounds, start)
        return self._bounds[following] if following < len(self._bounds) else len(self.blocks)

    def _drop_partial(self, kinds: list[Kind | None]) -> None:
        """Drop kinds of matter that is spoken, such as an epigraph, within a chapter."""
        for start in self._bounds:
            end = self._end(start)
            if len(set(kinds[start:end])) > 1:
                kinds[start:end] = [
                    kind if kind in SKIPPED_KINDS or kind is Kind.CHAPTER else None
                    for kind in kinds[start:end]
                ]

    def _marked(self, marks: Sequence[Mark]) -> Iterator[tuple[int, int, Kind]]:
        for mark in marks:
            number = self._numbers.get(mark.page)
            if number is not None:
                page = self._pages[number]
                start = self.page_starts[number] + page.ids.get(mark.anchor, (0, 0))[0]
                if start < len(self.blocks):
                    yield start, self._end(start), mark.kind

    def _titled(self) -> Iterator[tuple[int, int, Kind]]:
        """Yield the ranges of blocks whose title says their kind: of a chapter or of a page."""
        for start in self._bounds[:-1] if self._bounds[-1] == len(self.blocks) else self._bounds:
            block = self.blocks[start]
            title = self.starts.get(start)
            if title is None and block.is_heading:
                title = block.line
            kind = kind_of_title(title) if title else None
            if kind is None:
                continue
            end = self._end(start)
            is_late = 2 * self._letters[start] > self._letters[-1]
            while kind in LONG_KINDS and is_late and end < len(self.blocks):
                if end in self.starts or self.blocks[end].is_heading:
                    break
                end = self._end(end)
            yield start, end, kind

    def _fits(self, kind: Kind, start: int, end: int) -> bool:
        """True if the blocks are not too many, or too long, for their kind."""
        letters = self._letters[end] - self._letters[start]
        if kind is Kind.CONTENTS and not _is_list(self.blocks[start:end]):
            return False
        is_short = letters <= MAX_SHORT_LETTERS or 2 * letters <= self._letters[-1]
        return is_short and letters <= MAX_LETTERS.get(kind, letters)


def _is_list(blocks: Sequence[Block]) -> bool:
    """True if the blocks after the first one are short lines, and few of them are sentences."""
    texts = [block.text.strip() for block in blocks[1:]]
    sentences = sum(text.endswith((".", "!", "?", "。")) for text in texts)
    is_short = all(len(text) <= MAX_ENTRY_LETTERS for text in texts)
    return len(texts) >= MIN_ENTRIES and is_short and sentences <= MAX_SENTENCE_SHARE * len(texts)
