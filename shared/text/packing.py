"""The cuts of a paragraph into segments: as few as there can be, at the ends of sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain

from shared.cpu_limit import check_cpu
from shared.text.line_breaking import breaks
from shared.text.sentences import SentenceEnds

# A run of 500 marks or more is cut anywhere, since nothing of it is spoken. The first
# of its marks stay with what was said before, the last ones with what comes next.
_SILENT_RUN = re.compile(r"(?<![\W_])[\W_]{500,}+")
_KEPT_CHARS = 16


def cuts(paragraph: str, language: str, limit: int) -> Iterator[int]:
    """The rising places, the last included, between pieces of at most `limit` characters.

    `paragraph` is squeezed text. Linear in time.
    """
    start = 0
    for silence in _SILENT_RUN.finditer(paragraph):
        first, last = silence.start() + _KEPT_CHARS, silence.end() - _KEPT_CHARS
        yield from _packed(paragraph[start:first], start, language, limit)
        yield from range(first + limit, last, limit)
        yield last
        start = last
    yield from _packed(paragraph[start:], start, language, limit)


def _packed(text: str, offset: int, language: str, limit: int) -> Iterator[int]:
    """The fewest cuts at the ends of sentences, or at breaks within one that is too long.

    Only the last end that still fits counts, so that the others need not be looked at.
    """
    ends = SentenceEnds(text, language, limit)
    places = chain(ends.candidates(), [len(text)])
    start = last = 0
    place: int | None = next(places)
    while last < len(text):
        check_cpu()
        fitting = []
        while place is not None and _fits(text, start, place, limit):
            fitting.append(place)
            place = next(places, None)
        last = next(filter(ends.holds, reversed(fitting)), last)
        while place is not None and not ends.holds(place):
            place = next(places)
        # The first part of a sentence that is too long may still fit into this piece.
        if place is not None and not _fits(text, last, place, limit):
            begun = last
            for at in breaks(text[begun:place].rstrip(), limit):
                if not _fits(text, start, begun + at, limit):
                    yield offset + last
                    start = last
                last = begun + at
        else:
            yield offset + last
            start = last


def _fits(text: str, start: int, end: int, limit: int) -> bool:
    """True if a piece without the space at its end has at most `limit` characters."""
    return end - (text[end - 1] == " ") - start <= limit
