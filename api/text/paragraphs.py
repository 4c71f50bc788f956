"""Sections of a text between pauses: at paragraphs, chapters and marks such as `[pause 1.5s]`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from heapq import merge
from typing import NamedTuple

from api.text.normalise import BLANK_LINES, blank_invisible
from shared.document import Chapter

PARAGRAPH_PAUSE_S = 0.6
SCENE_PAUSE_S = 1.0
CHAPTER_PAUSE_S = 1.5

# Blank lines, with the unspoken characters between them, such as `* * *`.
_PARAGRAPH_GAP = re.compile(rf"(?>{BLANK_LINES.pattern})(?:[\W_]*{BLANK_LINES.pattern})?")
# Possessive: backtracking in a long run of spaces would take quadratic time.
# Within a gap: `* * *`, `⁂`, `---`.
_SCENE_BREAK = re.compile(r"[*＊•·][ \t\u3000]?[*＊•·]|[⁂◆◇○●☆★※＊*#~]\s*\Z|[-_=~—―]{3}")
_PAUSE_MARK = re.compile(
    r"\[\s*+pause\s*+(?::?\s*+(?P<mark>\d++(?:[.,]\d++)?|[.,]\d++)\s*+(?P<mark_unit>ms|s)?\s*+)?\]"
    r"|<break(?:\s{1,8}(?:time\s?=\s?[\"']?(?P<break>\d++(?:\.\d++)?|\.\d++)\s?(?P<break_unit>ms|s)?[\"']?"
    r"|strength\s?=\s?[\"']?(?P<strength>[a-z-]{1,12})[\"']?)){0,4}\s{0,8}/?>(?:</break>)?",
    re.IGNORECASE,
)
DEFAULT_PAUSE_S = 1.0
# Of SSML, by its names.
STRENGTHS_S = {"none": 0.0, "x-weak": 0.1, "weak": 0.25, "strong": 1.0, "x-strong": 1.5}
MEDIUM_PAUSE_S = 0.5
MIN_MILLISECONDS = 100  # a number without a unit that is as large is in milliseconds


class Section(NamedTuple):
    """A stretch of text between two pauses.

    Its spoken text goes from `start` to `end`; the next section begins at `stop`. `natural_s` is
    the pause of a paragraph or chapter, `marked_s` that of a mark.
    """

    start: int
    end: int
    stop: int
    natural_s: float
    marked_s: float


def sections(text: str, chapters: Iterable[Chapter]) -> Iterator[Section]:
    """Yield the sections of a whole text, cut at blank lines, chapters and pause marks."""
    seen = blank_invisible(text)
    gaps = (
        (*gap.span(), SCENE_PAUSE_S if _SCENE_BREAK.search(gap[0]) else PARAGRAPH_PAUSE_S, 0.0)
        for gap in _PARAGRAPH_GAP.finditer(seen)
    )
    marks = ((*mark.span(), 0.0, _pause_s(mark)) for mark in _PAUSE_MARK.finditer(seen))
    begun = sorted((chapter.start, chapter.start, CHAPTER_PAUSE_S, 0.0) for chapter in chapters)
    start = 0
    for first, last, natural_s, marked_s in merge(gaps, marks, begun):
        end, stop = (min(max(start, place), len(text)) for place in (first, last))
        yield Section(start, end, stop, natural_s, marked_s)
        start = stop
    yield Section(start, len(text), len(text), 0, 0)


def is_pause(tag: str) -> bool:
    """True if a tag is a pause: `<break time="1s"/>`."""
    return tag.startswith("<") and _PAUSE_MARK.fullmatch(tag) is not None


def _pause_s(mark: re.Match[str]) -> float:
    """The seconds of a mark.

    Examples: `[pause 500 ms]` → 0.5, `[pause 1,5]` → 1.5, `[pause:1000]` → 1.0, `[pause]` → 1.0.
    """
    number = mark["mark"] or mark["break"]
    if number is None:
        if mark[0].startswith("["):
            return DEFAULT_PAUSE_S
        return STRENGTHS_S.get((mark["strength"] or "").lower(), MEDIUM_PAUSE_S)
    unit = (mark["mark_unit"] or mark["break_unit"] or "").lower()
    amount = float(number.replace(",", "."))
    is_in_ms = unit == "ms" or (not unit and amount >= MIN_MILLISECONDS)
    return amount / 1_000 if is_in_ms else amount
