"""The best breaks of a sentence that is longer than a segment may be."""

from __future__ import annotations

import math
import re
from bisect import bisect
from collections.abc import Iterator
from itertools import accumulate

import regex

from api.text.cpu_limit import check_cpu
from api.text.normalise import CLUSTER
from api.text.quotations import Quotations
from api.text.sentences import CLOSING, CONTINUES

_CONJUNCTIONS = (
    "and|but|or|because|which|that|when|while|und|oder|aber|denn|weil|dass|wenn|et|mais|ou|car|que"
    "|qui|y|e|o|u|pero|porque|ma|che|perché|mas|porém|и|а|но|или|что|чтобы|когда|потому"
)
# The cost of a break, by the kind of place. A poor place is a space after a full stop that ends no
# sentence, or after a number: `Dr. Smith`, `5 km`.
_BREAK_COSTS = {"clause": 0.2, "comma": 0.4, "conjunction": 0.7, "space": 1, "poor": 5}
_DISTANCE_COST = 1  # for a distance to the ideal place of the length of the searched stretch
# Atomic, with the plain marks of `CONTINUES` in it, so that a run of marks costs no Python.
_BREAK = re.compile(
    rf"""
    (?>
      (?P<clause> [;:!?؛]{CLOSING}*\s | [；：](?!\d)\s?+ | [—–―]+\s?(?!\d) | …+\s?+ )
    | (?P<comma> [,،]{CLOSING}*\s | [、，](?!\d)\s?+ )
    | (?<![«„“‘(\[¿¡])\s(?:
        (?P<conjunction> (?<![\d.]\s)(?=(?:{_CONJUNCTIONS})\s) )
        | (?P<space> (?<![\d.]\s) )
        | (?P<poor> (?<!\d\s)|(?!\d{{3}}(?!\d)) )
      )
    )
    (?![)\]}}”」』》〉】〕）］｝、，。．！？；：ー,;:!?%])
    """,
    re.VERBOSE,
)
# Without such a place: between words and numbers that have no spaces, else between clusters.
_WORD = regex.compile(
    r"\p{N}+(?:[.,:．，：]\p{N}+)*|(?:[\p{Latin}\p{Cyrillic}\p{Hangul}\p{Katakana}]\p{M}*)+|"
    + CLUSTER
)
_CLUSTER = regex.compile(CLUSTER)
_MAX_NEAREST = 16  # candidates before the ideal place that are tried
_SEARCH_BACK_CHARS = 48  # characters before the ideal place that are searched first
_FLAG = regex.compile(r"\p{Regional_Indicator}")
_MAX_TRIES = 32  # places of the lowest cost that are tried
_LOOK_AHEAD_CHARS = 16  # characters after the limit that a match may reach


def breaks(sentence: str, limit: int) -> Iterator[int]:
    """The breaks of a sentence of normalised text, so that no piece is longer than `limit`.

    Pieces are of about the same length: of 250 characters and a limit of 100, the ideal breaks are
    near 83 and 166. Takes linear time.
    """
    quoted = Quotations(sentence, limit)
    is_solid = _BREAK.search(sentence) is None  # such as a row of ideographs without a comma
    start = 0
    while (rest := len(sentence) - start) > limit:
        check_cpu()
        end, ideal = start + limit, start + rest // math.ceil(rest / limit)
        # The first that exists: a good place, a word, a cluster, else the limit itself.
        start = (
            (None if is_solid else _best(sentence, start, end, ideal, quoted))
            or _nearest(_WORD, sentence, start, end, ideal)
            or _nearest(_CLUSTER, sentence, start, end, ideal)
            or end
        )
        yield start


def _best(text: str, start: int, end: int, ideal: int, quoted: Quotations) -> int | None:
    """The place of the lowest cost: that of its kind plus that of its distance to the ideal place.

    Example: of `…a, b c…` with the ideal place after `b`, the comma (0.4) beats the space (1) if it
    is nearer than 0.6 of the stretch. Places in the first third, poor places and places within a
    quotation count only if there is no other.
    """
    third = start + (ideal - start) // 3
    behind = list(_places(text, third, end, end))
    good = [(cost, place) for cost, place in behind if cost < _BREAK_COSTS["poor"]]
    outside, _ = _by_cost(good, ideal, end - third, quoted)
    if (best := _starting(text, outside)) is not None:
        return best
    every = [*_places(text, start, third, end), *behind]
    outside, within = _by_cost(every, ideal, end - start, quoted)
    best = _starting(text, outside)
    return _starting(text, within) if best is None else best


def _places(text: str, start: int, stop: int, end: int) -> Iterator[tuple[float, int]]:
    """Yield cost and end of each break that begins up to `stop` and leaves a piece within `end`."""
    for match in _BREAK.finditer(text, start, stop + _LOOK_AHEAD_CHARS):
        place = match.end()
        # A space at the end of a piece does not count: `Yes, ` fits into 4 characters.
        text_end = place - 1 if text[place - 1].isspace() else place
        if match.start() > stop or text_end > end:
            break
        yield _BREAK_COSTS[match.lastgroup or ""], place


def _by_cost(
    places: list[tuple[float, int]], ideal: int, length: int, quoted: Quotations
) -> tuple[list[int], list[int]]:
    """The places sorted by total cost: those outside quotations, and those within."""
    weighed = sorted(
        (cost + _DISTANCE_COST * abs(place - ideal) / length, place) for cost, place in places
    )
    outside: list[int] = []
    within: list[int] = []
    for _, place in weighed:
        (within if quoted.hold(place) else outside).append(place)
    return outside, within


def _starting(text: str, places: list[int]) -> int | None:
    """The first of `_MAX_TRIES` places that may start a segment; None if there is none."""
    return next((place for place in places[:_MAX_TRIES] if not CONTINUES.match(text, place)), None)


def _starts(unit: regex.Pattern[str], text: str, start: int, end: int, ideal: int) -> list[int]:
    """The starts of the last 16 units after the one at `start`, up to the first after `ideal`.

    If `start` is within a unit, its remainder counts as a unit.
    """
    starts = list(accumulate(map(len, unit.findall(text, start, end + 1)), initial=start))[:-1]
    return starts[1 : bisect(starts, ideal) + 1][-_MAX_NEAREST:]


def _nearest(unit: regex.Pattern[str], text: str, start: int, end: int, ideal: int) -> int | None:
    """The start of a word or cluster that is nearest to the ideal place."""
    near = max(start, ideal - _SEARCH_BACK_CHARS)
    # In a row of flags, their borders are known only from the start of the row.
    places = [] if _FLAG.match(text, near) else _starts(unit, text, near, end, ideal)
    if len(places) < _MAX_NEAREST:
        places = _starts(unit, text, start, end, ideal)
    for place in sorted(places, key=lambda place: abs(place - ideal)):
        if unit is _CLUSTER or not CONTINUES.match(text, place):
            return place
    return None
