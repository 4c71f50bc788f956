"""Quotations and brackets, which are best spoken in one go."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterator

import regex

# None of them may hold another of its kind, so that an opening mark is looked for only as far as
# the next: an unclosed one costs no quadratic time.
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


def inside(spans: list[Span], place: int) -> bool:
    """Whether a place of the text lies within one of the spans, which are in order."""
    at = bisect(spans, (place,)) - 1
    return at >= 0 and spans[at][0] < place < spans[at][1]
