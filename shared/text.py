"""From a text to segments that the model speaks well in one go; pure functions."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import pairwise

import sentencex

# sentencex speaks ISO 639-1; "auto" gets English rules, which know CJK full stops too.
_CODES = {
    "chinese": "zh",
    "english": "en",
    "german": "de",
    "italian": "it",
    "portuguese": "pt",
    "spanish": "es",
    "japanese": "ja",
    "korean": "ko",
    "french": "fr",
    "russian": "ru",
}
WINDOW = 2_000
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u2060\ufeff]")
# Where an over-long sentence may be broken, the best places first.
_BREAKS = (re.compile(r"(?<=[,;:—–、，；：])\s*(?!\d)"), re.compile(r"\s+"))


def normalise(text: str) -> str:
    """Compose characters (NFC), drop control characters and squeeze white space.

    Paragraphs stay apart by one empty line.
    """
    text = unicodedata.normalize("NFC", text).replace("\r\n", "\n").replace("\r", "\n")
    text = _CONTROL.sub("", text)
    paragraphs = re.split(r"\n\s*\n", text)
    return "\n\n".join(p for p in (" ".join(par.split()) for par in paragraphs) if p)


def split(text: str, language: str, limit: int) -> list[str]:
    """Split normalised text at sentence ends into segments of at most `limit` characters.

    Short sentences of a paragraph share a segment; one that is longer than `limit` is broken at
    its commas, else at spaces, else at the limit. What has no letter or digit, such as `* * *`
    between chapters, is left out: there is nothing to speak in it.
    """
    return [
        segment
        for paragraph in text.split("\n\n")
        for segment in _pack(_sentences(paragraph, language, limit), limit)
        if any(char.isalnum() for char in segment)
    ]


def _sentences(paragraph: str, language: str, limit: int) -> Iterator[str]:
    for sentence in _windowed(paragraph, _CODES.get(language, "en")):
        if len(sentence.rstrip()) <= limit:
            yield sentence
        else:
            yield from _pack(_pieces(sentence, limit), limit)


def _windowed(paragraph: str, code: str) -> Iterator[str]:
    """The sentences of a paragraph, found a window at a time: sentencex takes quadratic time.

    The last sentence of a window may be cut, so that the next window begins with it.
    """
    start = 0
    while start < len(paragraph):
        window = paragraph[start : start + WINDOW]
        sentences = sentencex.segment(code, window)
        if len(sentences) > 1 and start + len(window) < len(paragraph):
            sentences = sentences[:-1]
        yield from sentences
        start += sum(map(len, sentences))


def _pieces(text: str, limit: int, breaks: tuple[re.Pattern[str], ...] = _BREAKS) -> Iterator[str]:
    """Cut at every break of the first kind, and what is still too long at the next kind."""
    if len(text.rstrip()) <= limit:
        yield text
    elif not breaks:
        yield from (text[i : i + limit] for i in range(0, len(text), limit))
    else:
        ends = [match.end() for match in breaks[0].finditer(text)]
        for start, end in pairwise([0, *ends, len(text)]):
            yield from _pieces(text[start:end], limit, breaks[1:])


def _pack(pieces: Iterable[str], limit: int) -> Iterator[str]:
    """Join neighbours while they fit; none is empty."""
    packed = ""
    for piece in pieces:
        if packed and len((packed + piece).rstrip()) > limit:
            yield packed.strip()
            packed = ""
        packed += piece
    if packed.strip():
        yield packed.strip()


def frame_bound(text: str) -> int:
    """The most codec frames (80 ms each) that speaking `text` can honestly take.

    Slow speech is about 8 letters or 2 ideographs a second; twice that time and 4 s to spare, so
    that only a model that has lost its way reaches the bound. Never more than 2,048 (163.84 s),
    qwen-tts's own default.
    """
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    seconds = 4 + 2 * (wide / 2 + (len(text) - wide) / 8)
    return min(2_048, int(seconds * 12.5))
