"""Where a sentence that is too long to be spoken in one go is best broken."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

import regex

from shared.text.clusters import CLUSTER
from shared.text.quotations import Span, inside, quotations
from shared.text.sentences import CLOSING, CONTINUES

_CONJUNCTIONS = (
    "and|but|or|because|which|that|when|while|und|oder|aber|denn|weil|dass|wenn|et|mais|ou|car|que"
    "|qui|y|e|o|u|pero|porque|ma|che|perché|mas|porém|и|а|но|или|что|чтобы|когда|потому"
)
# How bad a break is, by the kind of place. A poor place is a space behind a full stop that ends no
# sentence, or a number: `Dr. Smith`, `5 km`.
_COST = {"clause": 0.2, "comma": 0.4, "conjunction": 0.7, "space": 1, "poor": 5}
_QUOTED = 10
_FAR = 1  # for a place as far from the ideal one as the stretch searched is long
_BREAK = re.compile(
    rf"""
    (?P<clause> [;:!?؛]{CLOSING}*\s | [；：](?!\d)\s? | [—–―]+\s?(?!\d) | …+\s? )
    | (?P<comma> [,،]{CLOSING}*\s | [、，](?!\d)\s? )
    | (?<![«„“‘(\[¿¡])\s(?:
        (?P<conjunction> (?<![\d.]\s)(?=(?:{_CONJUNCTIONS})\s) )
        | (?P<space> (?<![\d.]\s) )
        | (?P<poor> (?<!\d\s)|(?!\d{{3}}(?!\d)) )
      )
    """,
    re.VERBOSE,
)
# Where no such place is near: between words and numbers without spaces, at last between clusters.
_WORD = regex.compile(
    r"\p{N}+(?:[.,:．，：]\p{N}+)*|(?:[\p{Latin}\p{Cyrillic}\p{Hangul}\p{Katakana}]\p{M}*)+|"
    + CLUSTER
)
_CLUSTER = regex.compile(CLUSTER)
_NEAR = 16  # so many of the nearest are looked at
_AHEAD = 16  # as far as a look ahead of the limit goes


def breaks(sentence: str, limit: int) -> Iterator[int]:
    """Where to break a sentence of squeezed text so that no piece is longer than `limit`.

    Pieces are of about the same length. Linear in time: a piece is looked at but a few times.
    """
    quoted = quotations(sentence, limit)
    start = 0
    while (rest := len(sentence) - start) > limit:
        ideal = start + rest // math.ceil(rest / limit)
        start = (
            _best(
                sentence, start + (ideal - start) // 3, start + limit, ideal, quoted, _COST["poor"]
            )
            or _best(sentence, start, start + limit, ideal, quoted)
            or _nearest(_WORD, sentence, start, start + limit, ideal)
            or _nearest(_CLUSTER, sentence, start, start + limit, ideal)
            or start + limit
        )
        yield start


def _best(
    text: str, start: int, end: int, ideal: int, quoted: list[Span], least: float = math.inf
) -> int | None:
    """The least bad place, weighing its kind against how far it is from the ideal one."""
    best = None
    for match in _BREAK.finditer(text, start, end + _AHEAD):
        place = match.end()
        if place - text[place - 1].isspace() > end:
            break
        cost = _COST[match.lastgroup or ""] + _FAR * abs(place - ideal) / (end - start)
        if cost < least:
            cost += _QUOTED * inside(quoted, place)
            if cost < least and not CONTINUES.match(text, place):
                best, least = place, cost
    return best


def _nearest(unit: regex.Pattern[str], text: str, start: int, end: int, ideal: int) -> int | None:
    """The start of a word or cluster that is nearest to the ideal place."""
    places: list[int] = []
    for match in unit.finditer(text, start, end + 1):
        places.append(match.start())
        if match.start() > ideal:
            break
    for place in sorted(places[1:][-_NEAR:], key=lambda place: abs(place - ideal)):
        if unit is _CLUSTER or not CONTINUES.match(text, place):
            return place
    return None
