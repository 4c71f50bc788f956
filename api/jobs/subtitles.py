"""Subtitles: the spoken text with its times, in cues of at most two lines."""

from __future__ import annotations

import math
from collections.abc import Iterator
from html import escape
from itertools import accumulate, pairwise
from typing import NamedTuple

import regex

from api.text.normalise import CLUSTER
from shared.durations import wide_chars
from shared.timings import SegmentTiming, Timings

# Columns of a line, as broadcasters have it; an ideograph takes two.
MAX_LINE_COLUMNS, MAX_CUE_LINES = 42, 2
_WORDS = regex.compile(r"\S+\s*")
_GRAPHEMES = regex.compile(CLUSTER)
_IDEOGRAPHS = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}]")
_OPENING = r"[「『（《〈【〔［｛“‘(\[{«]"
_CLOSING = (
    r"[、。，．,.!?！？：；:;…‥」』）》〉】〕］｝”’)\]}»"
    r"ー々ぁぃぅぇぉっゃゅょァィゥェォッャュョ%％〜～·・—]"
)
# A number, a Latin or a short Katakana word, or a character; with the marks beside it. At the end,
# opening marks alone.
_UNITS = regex.compile(
    rf"(?:{_OPENING}*+(?:[\p{{Latin}}\p{{N}}]+(?:[.,:'’-][\p{{Latin}}\p{{N}}]+)*|[\p{{Katakana}}ー]{{1,8}}"
    rf"|{CLUSTER}){_CLOSING}*+|{_OPENING}++)\s*"
)
_STOP = regex.compile(r"[、。，．,.!?！？：；:;…‥」』）》〉】—]\s*\Z")
MID_PHRASE_COST = 1.5


class Cue(NamedTuple):
    """Text that is shown from one millisecond to another."""

    start_ms: int
    end_ms: int
    text: str


def vtt(timings: Timings) -> str:
    """WebVTT (W3C)."""
    shown = (
        f"{_clock(cue.start_ms, '.')} --> {_clock(cue.end_ms, '.')}\n"
        f"{escape(cue.text, quote=False)}\n"
        for cue in cues(timings)
    )
    return "\n".join(["WEBVTT\n", *shown])


def srt(timings: Timings) -> str:
    """SubRip."""
    return "\n".join(
        f"{number}\n{_clock(cue.start_ms, ',')} --> {_clock(cue.end_ms, ',')}\n"
        f"{cue.text.replace('-->', '→')}\n"
        for number, cue in enumerate(cues(timings), 1)
    )


def cues(timings: Timings) -> Iterator[Cue]:
    """The cues in order; a segment's time is divided in proportion to their width."""
    for segment in timings.segments:
        yield from _cues(segment)


def _cues(segment: SegmentTiming) -> Iterator[Cue]:
    start_ms, end_ms = round(1_000 * segment.start_s), round(1_000 * segment.end_s)
    lines = _cut(segment.text, MAX_LINE_COLUMNS)
    texts = [
        "\n".join(lines[at : at + MAX_CUE_LINES]) for at in range(0, len(lines), MAX_CUE_LINES)
    ]
    if end_ms - start_ms < len(texts):
        return  # too short to read
    widths = [max(1, _width(text)) for text in texts]
    shares = [each / sum(widths) for each in accumulate(widths, initial=0)]
    times = [start_ms + round(share * (end_ms - start_ms)) for share in shares]
    for text, (begin, end) in zip(texts, pairwise(times), strict=True):
        if begin < end:
            yield Cue(begin, end, text)


def _cut(text: str, most: int) -> list[str]:
    """Cut a text into even pieces of at most `most` columns, between words where that can be."""
    if _IDEOGRAPHS.search(text):
        return _cut_at_marks(text, most)
    width = _width(text)
    even = width / -(-width // most) if width else 0
    pieces, piece = [], ""
    for token in _tokens(text, most):
        full = _width(piece) >= even or _width((piece + token).rstrip()) > most
        if piece and full:
            pieces.append(piece.strip())
            piece = ""
        piece += token
    return [*pieces, piece.strip()]


def _cut_at_marks(text: str, most: int) -> list[str]:
    """Cut a Chinese or Japanese text into the pieces of the lowest cost.

    A piece costs 1, the square of its distance from an even width, as a share of `most`, and 1.5 if
    no mark such as a comma is at its end. No piece begins with such a mark.
    """
    tokens = list(_tokens(text, most))
    widths = [_width(token) for token in tokens]
    total = sum(widths)
    even = total / -(-total // most)
    # The lowest cost of the tokens up to each place, and where the last piece of them begins.
    best: list[tuple[float, int]] = [(0.0, 0)]
    for end in range(1, len(tokens) + 1):
        last = tokens[end - 1]
        space = len(last) - len(last.rstrip())  # at the end of a piece it takes no room
        found = (math.inf, end - 1)
        width = 0
        for start in range(end - 1, -1, -1):
            width += widths[start]
            if start < end - 1 and width - space > most:
                break
            at_mark = end == len(tokens) or _STOP.search(last)
            cost = 1 + ((width - even) / most) ** 2 + (0 if at_mark else MID_PHRASE_COST)
            found = min(found, (best[start][0] + cost, start))
        best.append(found)
    places = [len(tokens)]
    while places[-1]:
        places.append(best[places[-1]][1])
    places.reverse()
    return ["".join(tokens[start:end]).strip() for start, end in pairwise(places)]


def _tokens(text: str, most: int) -> Iterator[str]:
    """Words with the space after them; of words without end, and of ideographs, each character.

    A character keeps the marks that must not begin a line, such as `。` and `」`, and those that
    must not end one, such as `「`.
    """
    for word in _WORDS.findall(text):
        is_short = _width(word) <= most and not _IDEOGRAPHS.search(word)
        units = [word] if is_short else _UNITS.findall(word)
        for unit in units:
            yield from [unit] if _width(unit) <= most else _GRAPHEMES.findall(unit)


def _width(text: str) -> int:
    """The columns that a text takes: 2 for a wide character, else 1."""
    return len(text) + wide_chars(text)


def _clock(milliseconds: int, point: str) -> str:
    seconds, rest = divmod(milliseconds, 1_000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{point}{rest:03}"
