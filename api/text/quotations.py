"""Quotations and brackets, which are best kept in one segment."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterator
from functools import cached_property

import regex

# A quotation holds no other of its kind, so that a search ends at the next opening mark: an
# unclosed mark does not cost quadratic time.
_QUOTATION = regex.compile(
    r"""
    „[^„“”]*[“”] | “[^“”]*” | «[^«»]*» | »(?=\S)[^«»]*(?<=\S)« | ‹[^‹›]*› | ›(?=\S)[^‹›]*(?<=\S)‹
    | ‘[^‘]*?’(?!\w) | (?<!\w)"(?=\S)[^"]*(?<=\S)"(?!\w)
    | (?<!\w)'(?=\w)[^']*+(?:(?<=\w)'(?=\w)[^']*+)*+'(?!\w)
    | 「[^「」]*」 | 『[^『』]*』 | 《[^《》]*》 | 〈[^〈〉]*〉 | 【[^【】]*】 | （[^（）]*）
    | \([^()]*\) | \[[^\[\]]*\]
    """,
    regex.VERBOSE,
)

Span = tuple[int, int]


def quotations(text: str, limit: int) -> list[Span]:
    """The quotations of at most `limit` characters, in order; none is within another."""
    return list(_spans(text, 0, len(text), limit))


def _spans(text: str, start: int, end: int, limit: int) -> Iterator[Span]:
    for quotation in _QUOTATION.finditer(text, start, end):
        first, last = quotation.span()
        if last - first <= limit:
            yield first, last
        else:
            yield from _spans(text, first + 1, last - 1, limit)


class Quotations:
    """The quotations in a text, none of them within another; found when first asked for."""

    def __init__(self, text: str, limit: int) -> None:
        self._text = text
        self._limit = limit

    @cached_property
    def _spans(self) -> list[Span]:
        return quotations(self._text, self._limit)

    def hold(self, place: int) -> bool:
        """True if a place of the text lies within a quotation."""
        at = bisect(self._spans, (place,)) - 1
        return at >= 0 and self._spans[at][0] < place < self._spans[at][1]
