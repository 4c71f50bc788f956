"""From a text to segments that the model speaks well in one go; pure functions."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

from shared.cpu_limit import check_cpu
from shared.document import Chapter, Segment
from shared.errors import InvalidRequest
from shared.text.headings import headings
from shared.text.normalise import collapse_whitespace, map_offsets, normalise
from shared.text.packing import cuts
from shared.text.paragraphs import CHAPTER_PAUSE_S, PARAGRAPH_PAUSE_S, sections

__all__ = [
    "CHAPTER_PAUSE_S",
    "CLAUSE_PAUSE_S",
    "MAX_MARKED_S",
    "MAX_PAUSE_S",
    "PARAGRAPH_PAUSE_S",
    "SENTENCE_PAUSE_S",
    "Segment",
    "frame_bound",
    "headings",
    "normalise",
    "split",
]

SENTENCE_PAUSE_S = 0.2
CLAUSE_PAUSE_S = 0.1
MAX_PAUSE_S = 60
MAX_MARKED_S = 24 * 3_600  # a short text must not fill the disk with silence

_SPEAKABLE = re.compile(r"[^\W_]")
_CLOSING_MARKS = "”’»›“«‹\"')]}」』》〉】〕）］｝"
_SENTENCE_ENDS = frozenset(".!?…。｡．！？؟।")
_CLAUSE_ENDS = frozenset(",;:—–―、，；：،؛")


def split(
    text: str,
    language: str,
    limit: int,
    *,
    chapters: Sequence[Chapter] = (),
    most: int | None = None,
) -> list[Segment]:
    """Split a text as it was given, at sentence ends, into segments of at most `limit` characters.

    Short sentences of a paragraph share a segment; one that is longer than `limit` is broken where
    it hurts least. Paragraphs, chapters and marks such as `[pause 1.5s]` end a segment. The ranges
    cover the text in order: what has no letter or digit, such as `* * *` between chapters, is in
    the range of its neighbour. Empty if there is nothing to speak.

    Raises `InvalidRequest` for more than `most` segments, for a pause of more than `MAX_PAUSE_S`,
    and for marks that ask for more than `MAX_MARKED_S` of silence in all.
    """
    texts: list[str] = []
    ends: list[int] = []
    pauses: list[float] = []
    natural_s = marked_s = all_marked_s = 0.0
    for section in sections(text, chapters):
        for spoken, end in _spoken(text[section.start : section.end], language, limit):
            natural_s, marked_s = _natural_pause(spoken), 0.0
            texts.append(spoken)
            ends.append(section.start + end)
            pauses.append(natural_s)
            _check_count(len(texts), most)
            check_cpu()
        check_cpu()
        natural_s = max(natural_s, section.natural_s)
        marked_s = _checked(marked_s + section.marked_s, MAX_PAUSE_S, "at once")
        all_marked_s = _checked(all_marked_s + section.marked_s, MAX_MARKED_S, "in all")
        if texts:
            ends[-1], pauses[-1] = section.stop, max(natural_s, marked_s)
    pauses[-1:] = [marked_s]  # After the last, only what the text asks for.
    return [Segment(*parts) for parts in zip(texts, [0, *ends], ends, pauses, strict=False)]


def _check_count(segments: int, most: int | None) -> None:
    if most is not None and segments > most:
        raise InvalidRequest(
            f"the input falls into more than {most:,} segments: "
            "send it in parts, or with fewer paragraphs",
            param="input",
        )


def _checked(pause_s: float, most_s: int, where: str) -> float:
    if pause_s > most_s:
        raise InvalidRequest(
            f"the text asks for pauses of {pause_s:,g} s {where}; the most {where} is {most_s:,} s",
            param="input",
        )
    return pause_s


def _natural_pause(spoken: str) -> float:
    last = spoken.rstrip(_CLOSING_MARKS)[-1:]
    return (
        SENTENCE_PAUSE_S
        if last in _SENTENCE_ENDS
        else CLAUSE_PAUSE_S
        if last in _CLAUSE_ENDS
        else 0.0
    )


def _spoken(given: str, language: str, limit: int) -> Iterator[tuple[str, int]]:
    """The segments of a paragraph: what is spoken, and where it ends in what was given."""
    squeezed = collapse_whitespace(given)
    if not _SPEAKABLE.search(squeezed):
        return
    if len(squeezed) <= limit:
        yield squeezed, len(given)
        return
    places = list(cuts(squeezed, language, limit))
    ends = [*map_offsets(given, squeezed, places[:-1]), len(given)]
    start = 0
    for cut, end in zip(places, ends, strict=True):
        if _SPEAKABLE.search(squeezed, start, cut):
            yield squeezed[start:cut].strip(), end
        start = cut


def frame_bound(text: str) -> int:
    """The most codec frames (80 ms each) that speaking `text` can honestly take.

    Slow speech is about 8 letters or 2 ideographs a second; twice that time and 4 s to spare, so
    that only a model that has lost its way reaches the bound. Never more than 2,048 (163.84 s),
    qwen-tts's own default.
    """
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    seconds = 4 + 2 * (wide / 2 + (len(text) - wide) / 8)
    return min(2_048, int(seconds * 12.5))
