"""The pauses of a text: at its paragraphs, its chapters, and where it says `[pause 1.5s]`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from heapq import merge
from typing import NamedTuple

from shared.document import Chapter
from shared.text.normalise import BLANK_LINES, blank_invisible

PARAGRAPH_PAUSE_S = 0.6
CHAPTER_PAUSE_S = 1.5

# Blank lines, with what is between them if it is not spoken, such as `* * *`.
_PARAGRAPH_GAP = re.compile(rf"(?>{BLANK_LINES.pattern})(?:[\W_]*{BLANK_LINES.pattern})?")
# Possessive, since going back in a long run of spaces takes quadratic time.
_PAUSE_MARK = re.compile(
    r"\[\s*+pause\s*+:?\s*+(\d++(?:[.,]\d++)?|[.,]\d++)\s*+(ms|s)?\s*+\]", re.IGNORECASE
)


class Section(NamedTuple):
    """A stretch of text between two places where speech must pause.

    What is spoken goes from `start` to `end`; the next section begins at `stop`. `natural_s` is
    the silence that the place asks for, `marked_s` the one that a mark does.
    """

    start: int
    end: int
    stop: int
    natural_s: float
    marked_s: float


def sections(text: str, chapters: Iterable[Chapter]) -> Iterator[Section]:
    """Cut a text at its blank lines, chapters and pause marks; together they are the whole text."""
    seen = blank_invisible(text)
    gaps = ((*gap.span(), PARAGRAPH_PAUSE_S, 0.0) for gap in _PARAGRAPH_GAP.finditer(seen))
    marks = ((*mark.span(), 0.0, _seconds(mark)) for mark in _PAUSE_MARK.finditer(seen))
    begun = sorted((chapter.start, chapter.start, CHAPTER_PAUSE_S, 0.0) for chapter in chapters)
    start = 0
    for first, last, natural_s, marked_s in merge(gaps, marks, begun):
        end, stop = (min(max(start, place), len(text)) for place in (first, last))
        yield Section(start, end, stop, natural_s, marked_s)
        start = stop
    yield Section(start, len(text), len(text), 0, 0)


def _seconds(mark: re.Match[str]) -> float:
    number, unit = mark.groups()
    return float(number.replace(",", ".")) / (1_000 if unit and unit.lower() == "ms" else 1)
