"""Normalised text, and the mapping of its offsets to those of the given text."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import accumulate

import regex

# `\X` alone counts the whole run of regional indicators before each flag, which takes quadratic
# time over a row of flags. Read from left to right, a flag is two of them and what extends them.
CLUSTER = r"(?:\p{Regional_Indicator}{1,2}+[\p{GCB=Extend}\p{GCB=SpacingMark}\p{GCB=ZWJ}]*+|\X)"

# Control characters, soft hyphens, zero-width spaces, marks of direction and lone surrogates. Not
# the joiners U+200C and U+200D, which shape emoji and words.
_IGNORED_CHARS = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u061c\u200b\u200e\u200f\u202a-\u202e"
    "\u2060-\u2064\u2066-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
# Composing takes quadratic time over a run of accents; no language has 128 on one letter.
_ACCENT_RUN = regex.compile(r"(?<!\p{M})(\p{M}{128})\p{M}+")
_WHITE_SPACE = re.compile(r"\s")
_TOKEN = re.compile(rf"(?P<ignored>{_IGNORED_CHARS.pattern}++(?!\S))|\S++")
# Printable characters that composing leaves as they are, next to any others of them: Latin,
# Cyrillic, punctuation, Chinese, Japanese and Korean without marks that combine.
_COMPOSED = re.compile(
    "[ -~\xa1-\xac\xae-\u02ff\u0400-\u0482\u048a-\u052f\u2010-\u2027\u2030-\u205e"
    "\u3001-\u3029\u3030-\u303e\u3041-\u3096\u309b-\u30fe\u4e00-\u9fff\uac00-\ud7a3\uff01-\uff9d]*"
)
_CLUSTER = regex.compile(CLUSTER)
_CLUSTER_GROUP = regex.compile(rf"{CLUSTER}{{1,16}}+")
_MAX_CACHED_CHARS = 32  # the size of a longer cluster is not cached
_NEWLINE = r"(?:\n|\r(?!\n))"
# Or a paragraph separator, which `api.text.lines` puts in the place of a line's end.
BLANK_LINES = re.compile(rf"(?:{_NEWLINE}\s*?{_NEWLINE}|\u2029)\s*")


def blank_invisible(text: str) -> str:
    """The text with a space for each invisible character; its length stays."""
    return _IGNORED_CHARS.sub(" ", text)


def collapse_whitespace(text: str) -> str:
    """Compose characters (NFC), drop control characters and make all white space single spaces."""
    words = " ".join(text.split())
    if _COMPOSED.fullmatch(words):
        return words  # most texts: the steps below take ten times as long
    composed = unicodedata.normalize("NFC", _ACCENT_RUN.sub(r"\1", _IGNORED_CHARS.sub("", text)))
    return " ".join(composed.split())


def normalise(text: str) -> str:
    """Compose characters (NFC), drop control characters and collapse white space.

    Paragraphs stay apart by one empty line.
    """
    paragraphs = map(collapse_whitespace, BLANK_LINES.split(_IGNORED_CHARS.sub("", text)))
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)


def map_offsets(given: str, collapsed: str, cuts: Sequence[int]) -> list[int]:
    """The offsets in `given` of the rising offsets `cuts` in `collapsed`, its normalised form.

    Example: `given` is `a   b`, `collapsed` is `a b`: the cut 2, before `b`, is 4 in `given`. An
    offset inside a composed character is moved to its start.
    """
    if not cuts or _WHITE_SPACE.sub(" ", given).rstrip() == collapsed:
        return list(cuts)
    found: list[int] = []
    stop = 0
    for token in _TOKEN.finditer(given):
        if token.lastgroup == "ignored":
            continue
        # Each token is one word of `collapsed`: its end is at the next space.
        start, stop = stop, collapsed.find(" ", stop) + 1 or len(collapsed)
        if cuts[len(found)] < stop:
            places = cuts[len(found) : bisect_left(cuts, stop)]
            word = collapsed[start:stop].rstrip(" ")
            inner = _inside(token[0], word, [place - start for place in places])
            found += (token.start() + place for place in inner)
            if len(found) == len(cuts):
                break
    return found


def _inside(given: str, word: str, places: list[int]) -> Iterator[int]:
    """Yield the offsets in a given word of rising offsets in its normalised form.

    Clusters are normalised 16 at a time; only those around an offset are normalised one by one.
    """
    if given == word:
        yield from places
        return
    few = _CLUSTER_GROUP.findall(given)
    is_plain = not (_IGNORED_CHARS.search(given) or _ACCENT_RUN.search(given))
    collapsed = (
        unicodedata.normalize("NFC", some) if is_plain else collapse_whitespace(some)
        for some in few
    )
    ends = list(accumulate(map(len, collapsed), initial=0))
    starts = list(accumulate(map(len, few), initial=0))
    for place in places:
        number = bisect_right(ends, place) - 1
        if number == len(few):
            yield len(given)
        else:
            yield starts[number] + _within(few[number], place - ends[number])


def _within(given: str, place: int) -> int:
    """The offset in up to 16 given clusters of an offset in their normalised form."""
    start = 0
    for cluster in _CLUSTER.findall(given):
        is_cached = len(cluster) <= _MAX_CACHED_CHARS
        size = _cached_size(cluster) if is_cached else len(collapse_whitespace(cluster))
        if place < size:
            return start + min(place, len(cluster))
        start, place = start + len(cluster), place - size
    return start


@lru_cache(4_096)
def _cached_size(cluster: str) -> int:
    return len(collapse_whitespace(cluster))
