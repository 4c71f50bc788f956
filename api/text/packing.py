"""Packing of a paragraph's sentences into the fewest segments."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain

from api.text.cpu_limit import check_cpu
from api.text.line_breaking import breaks
from api.text.sentences import SentenceEnds

# A run of 500 marks or more may be cut anywhere, since it is not spoken. Its first 16 marks stay
# with the text before it, its last 16 with the text after it.
_SILENT_RUN = re.compile(r"(?<![\W_])[\W_]{500,}+")
_KEPT_CHARS = 16


def cuts(paragraph: str, language: str, limit: int) -> Iterator[int]:
    """Yield the rising offsets of the ends of pieces of at most `limit` characters.

    `paragraph` is normalised text. Takes linear time.
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
    """Yield the fewest cuts: at sentence ends, or at breaks of a sentence that is too long.

    Example: sentences of 30, 40 and 50 characters with a limit of 80 give the cuts 70 and 120. Only
    the last end that fits is checked, so the ends before it cost nothing.
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
    """True if a piece, without a space at its end, has at most `limit` characters."""
    return end - (text[end - 1] == " ") - start <= limit
