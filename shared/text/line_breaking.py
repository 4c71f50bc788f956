"""The best breaks of a sentence that is too long to be spoken in one go."""

from __future__ import annotations

import math
import re
from bisect import bisect
from collections.abc import Iterator
from itertools import accumulate

import regex

from shared.cpu_limit import check_cpu
from shared.text.normalise import CLUSTER
from shared.text.quotations import Quotations
from shared.text.sentences import CLOSING, CONTINUES

_CONJUNCTIONS = (
    "and|but|or|because|which|that|when|while|und|oder|aber|denn|weil|dass|wenn|et|mais|ou|car|que"
    "|qui|y|e|o|u|pero|porque|ma|che|perché|mas|porém|и|а|но|или|что|чтобы|когда|потому"
)
# How bad a break is, by the kind of place. A poor place is a space behind a full stop that ends no
# sentence, or a number: `Dr. Smith`, `5 km`.
_BREAK_COSTS = {"clause": 0.2, "comma": 0.4, "conjunction": 0.7, "space": 1, "poor": 5}
_DISTANCE_COST = 1  # for a place as far from the ideal one as the stretch searched is long
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
# Where no such place is near: between words and numbers without spaces, at last between clusters.
_WORD = regex.compile(
    r"\p{N}+(?:[.,:．，：]\p{N}+)*|(?:[\p{Latin}\p{Cyrillic}\p{Hangul}\p{Katakana}]\p{M}*)+|"
    + CLUSTER
)
_CLUSTER = regex.compile(CLUSTER)
_MAX_NEAREST = 16  # so many of the nearest are looked at
_SEARCH_BACK_CHARS = 48  # where they are looked for first: so far before the ideal place
_FLAG = regex.compile(r"\p{Regional_Indicator}")
_MAX_TRIES = 32  # the least bad places that are tried
_LOOK_AHEAD_CHARS = 16  # as far as a look ahead of the limit goes


def breaks(sentence: str, limit: int) -> Iterator[int]:
    """The breaks of a sentence of squeezed text, so that no piece is longer than `limit`.

    Pieces are of about the same length. Linear in time: a piece is looked at but a few times.
    """
    quoted = Quotations(sentence, limit)
    is_solid = _BREAK.search(sentence) is None  # such as a row of ideographs without a comma
    start = 0
    while (rest := len(sentence) - start) > limit:
        check_cpu()
        end, ideal = start + limit, start + rest // math.ceil(rest / limit)
        start = (
            (None if is_solid else _best(sentence, start, end, ideal, quoted))
            or _nearest(_WORD, sentence, start, end, ideal)
            or _nearest(_CLUSTER, sentence, start, end, ideal)
            or end
        )
        yield start


def _best(text: str, start: int, end: int, ideal: int, quoted: Quotations) -> int | None:
    """The least bad place, weighing its kind against how far it is from the ideal one.

    One in the first third, a poor one or one within a quotation only if there is no other.
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
    """The costs and the ends of what begins before `stop` and leaves a piece that ends in time."""
    for match in _BREAK.finditer(text, start, stop + _LOOK_AHEAD_CHARS):
        place = match.end()
        if match.start() > stop or place - text[place - 1].isspace() > end:
            break
        yield _BREAK_COSTS[match.lastgroup or ""], place


def _by_cost(
    places: list[tuple[float, int]], ideal: int, length: int, quoted: Quotations
) -> tuple[list[int], list[int]]:
    """The places by their cost and distance: those outside quotations, and those within."""
    weighed = sorted(
        (cost + _DISTANCE_COST * abs(place - ideal) / length, place) for cost, place in places
    )
    outside: list[int] = []
    within: list[int] = []
    for _, place in weighed:
        (within if quoted.hold(place) else outside).append(place)
    return outside, within


def _starting(text: str, places: list[int]) -> int | None:
    """The first place that may start a segment, if it is one of the first `_MAX_TRIES`."""
    return next((place for place in places[:_MAX_TRIES] if not CONTINUES.match(text, place)), None)


def _starts(unit: regex.Pattern[str], text: str, start: int, end: int, ideal: int) -> list[int]:
    """The starts of the last few units after the one at `start`, up to the first behind `ideal`.

    If `start` is within a unit, what is left of it counts as one.
    """
    starts = list(accumulate(map(len, unit.findall(text, start, end + 1)), initial=start))[:-1]
    return starts[1 : bisect(starts, ideal) + 1][-_MAX_NEAREST:]


def _nearest(unit: regex.Pattern[str], text: str, start: int, end: int, ideal: int) -> int | None:
    """The start of a word or cluster that is nearest to the ideal place."""
    near = max(start, ideal - _SEARCH_BACK_CHARS)
    # Where flags begin in a row of them, only the beginning of the row tells.
    places = [] if _FLAG.match(text, near) else _starts(unit, text, near, end, ideal)
    if len(places) < _MAX_NEAREST:
        places = _starts(unit, text, start, end, ideal)
    for place in sorted(places, key=lambda place: abs(place - ideal)):
        if unit is _CLUSTER or not CONTINUES.match(text, place):
            return place
    return None
