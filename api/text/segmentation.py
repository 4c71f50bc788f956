"""Splitting of a text into segments that the model speaks well; pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from api.text.cpu_limit import check_cpu
from api.text.normalise import collapse_whitespace, map_offsets
from api.text.packing import cuts
from api.text.paragraphs import sections
from shared.document import Chapter, Segment
from shared.durations import extra_letters
from shared.errors import InvalidRequest

SENTENCE_PAUSE_S = 0.2
CLAUSE_PAUSE_S = 0.1
MAX_PAUSE_S = 60
MAX_TOTAL_PAUSE_S = 24 * 3_600  # a short text must not fill the disk with silence
# In words, with its numbers, a piece may have 480 letters: 32 s at a usual pace.
MAX_SPOKEN_LETTERS = 480
MIN_LIMIT_CHARS = 20

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
    """Split a text, at sentence ends, into segments of at most `limit` characters.

    Short sentences of a paragraph share a segment; a sentence longer than `limit` is split at its
    best break. Paragraphs, chapters and marks such as `[pause 1.5s]` end a segment. The ranges
    cover the whole text in order: characters that are not spoken, such as `* * *` between chapters,
    are in the range of the segment before. Empty if there is nothing to speak.

    Example: `One.` `[pause 2s]` `Two!` and a blank line give two segments. After `One.` the mark's
    2 s win over the sentence's 0.2 s; after `Two!`, the last one, there is no pause.

    Raises `InvalidRequest` for more than `most` segments, for a pause of more than `MAX_PAUSE_S`,
    and for marks that ask for more than `MAX_TOTAL_PAUSE_S` of silence in all.
    """
    texts: list[str] = []
    ends: list[int] = []
    pauses: list[float] = []
    # The natural pause and the marked pauses since the last segment; all marks of the text.
    natural_s = marked_s = all_marked_s = 0.0
    for section in sections(text, chapters):
        for spoken, end in _spoken(text[section.start : section.end], language, limit):
            natural_s, marked_s = _natural_pause_s(spoken), 0.0
            texts.append(spoken)
            ends.append(section.start + end)
            pauses.append(natural_s)
            _check_count(len(texts), most)
            check_cpu()
        check_cpu()
        natural_s = max(natural_s, section.natural_s)
        marked_s = _checked(marked_s + section.marked_s, MAX_PAUSE_S, "at once")
        all_marked_s = _checked(all_marked_s + section.marked_s, MAX_TOTAL_PAUSE_S, "in all")
        if texts:
            ends[-1], pauses[-1] = section.stop, max(natural_s, marked_s)
    if pauses:
        pauses[-1] = marked_s  # at the end of the text only marks make a pause
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


def _natural_pause_s(spoken: str) -> float:
    """The pause for the last mark of a segment before its closing quotation marks."""
    last = spoken.rstrip(_CLOSING_MARKS)[-1:]
    if last in _SENTENCE_ENDS:
        return SENTENCE_PAUSE_S
    return CLAUSE_PAUSE_S if last in _CLAUSE_ENDS else 0.0


def _spoken(given: str, language: str, limit: int) -> Iterator[tuple[str, int]]:
    """Yield the segments of a paragraph: the normalised text, and its end in `given`."""
    collapsed = collapse_whitespace(given)
    if not _SPEAKABLE.search(collapsed):
        return
    if len(collapsed) <= limit and _spoken_share(collapsed, language, limit) >= 1:
        yield collapsed, len(given)
        return
    places = list(_cuts_by_speech(collapsed, language, limit))
    ends = [*map_offsets(given, collapsed, places[:-1]), len(given)]
    start = 0
    for cut, end in zip(places, ends, strict=True):
        if _SPEAKABLE.search(collapsed, start, cut):
            yield collapsed[start:cut].strip(), end
        start = cut


def _cuts_by_speech(text: str, language: str, limit: int) -> Iterator[int]:
    """Yield the ends of pieces of at most `limit` characters, fewer if they take long to speak.

    Example: 150 characters of a table, 100 of them digits, are 1,250 letters as words: they are cut
    into pieces of about 57 characters.
    """
    start = 0
    for end in cuts(text, language, limit):
        piece = text[start:end]
        share = _spoken_share(piece, language, limit)
        if share < 1:
            shorter = max(MIN_LIMIT_CHARS, int(len(piece) * share))
            yield from (start + cut for cut in cuts(piece, language, shorter))
        else:
            yield end
        start = end


def _spoken_share(piece: str, language: str, limit: int) -> float:
    """The share of a piece that may be one segment, by the letters of its words; 1 or more: all."""
    return max(limit, MAX_SPOKEN_LETTERS) / (len(piece) + extra_letters(piece, language))
