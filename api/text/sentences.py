"""The ends of the sentences of a paragraph."""

from __future__ import annotations

from collections.abc import Iterator

import regex
import sentencex

from api.text.cpu_limit import check_cpu
from api.text.quotations import Quotations

# The ISO 639-1 codes that sentencex takes.
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
# The language of a text without one: by its first letter's script, else English.
_SCRIPTS = regex.compile(
    r"(?P<ja>[\p{Hiragana}\p{Katakana}])|(?P<zh>\p{Han})|(?P<ko>\p{Hangul})|(?P<ru>\p{Cyrillic})"
    r"|(?P<en>\p{L})"
)
WINDOW_CHARS = 2_000

WIDE = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}"
CLOSING = r"[”’»›“«‹\"')\]}」』》〉】〕）］｝]"
# Characters that must not start a segment: they end the text before.
_CONTINUES = (
    r"""[)\]}”」』》〉】〕）］｝、，。．！？；：ー,;:!?%\p{GCB=Extend}\p{GCB=SpacingMark}\p{GCB=ZWJ}]"""
    r"""|['"’»›](?:\s|\p{P}|$)|\.(?:\P{L}|$)"""
)
CONTINUES = regex.compile(_CONTINUES)
_WIDE_END = regex.compile(
    rf"(?:[。｡！？]|．(?!\d)|(?<=[{WIDE}])[!?](?=[!?]*{CLOSING}*[{WIDE}]))[。｡！？!?…]*{CLOSING}*\s?"
)
_OPENING_MARK = regex.compile(r"(?<![\w.!?…,;:])(?:«|[“„‘»‹›\"'(\[](?=\S))")
_CLOSING_MARK = regex.compile(rf"([.!?…])\s?{CLOSING}+")
_NARROW_END = regex.compile(rf"[.!?…؟।]{CLOSING}*\s")
# Other continuations:
# `“Yes!” said he`, `“Yes!” (it was)`, `— Да? — спросил он`, `「はい。」と`.
_GOES_ON = regex.compile(
    rf"{_CONTINUES}|(?<={CLOSING}\s)\p{{Ll}}|(?:[—–-]\s*|[(\[])\p{{Ll}}|(?<=[」』])(?:と|って)"
)
# Abbreviations that sentencex does not know in every language, without their last full stop.
_ABBREVIATION = regex.compile(
    r"Dr|Mr|Mrs|Ms|Prof|Hr|Fr|Nr|St|Ste|MM|Mme|Mmes|Mlle|Mlles|Mgr|Sr|Sra|Srta|Dra|Dª|Exa|Exmo|Av"
    r"|Sig|Dott|approx|cf|pag|pág|ex|vgl|ca|bzw|z\.B|d\.h|u\.a|i\.e|e\.g|p\.ex|т\.е|т\.к|им|св|см|напр|ул"
)
# Those that end no sentence before a number: `approx. 40`, `Abb. 3`, `рис. 5`.
_BEFORE_NUMBER = regex.compile(
    r"approx|vols?|chs?|chap|figs?|pp|nos?|art|sec|ed|Bd|Abb|Kap|Art|Abs|núm|chap|fig|cap|págs?|гл|стр"
    r"|рис|табл|ок|circa",
    regex.IGNORECASE,
)
_OPENING_MARKS = "“„‘«»‹›\"'([—"


def language_of(text: str) -> str:
    """The likeliest language of a text, by the script of its first letter; English for Latin."""
    code = _code(text)
    return next(name for name, each in _CODES.items() if each == code)


class SentenceEnds:
    """The ends of sentences in a paragraph of normalised text, its own end included.

    None lies inside a quotation that fits into `limit`. Each is just before the next sentence's
    first character.
    """

    def __init__(self, paragraph: str, language: str, limit: int) -> None:
        self._paragraph = paragraph
        self._code = _CODES.get(language) or _code(paragraph)
        self._quoted = Quotations(paragraph, limit)

    def candidates(self) -> Iterator[int]:
        """The possible ends in order, without the end of the paragraph."""
        return _candidates(_without_marks(self._paragraph), self._code)

    def holds(self, end: int) -> bool:
        """True if a sentence ends at a candidate."""
        if end == len(self._paragraph):
            return True
        return not (
            _is_abbreviation(self._paragraph, end, self._code)
            or self._quoted.hold(end)
            or _GOES_ON.match(self._paragraph, end)
        )


def _code(paragraph: str) -> str:
    letter = _SCRIPTS.search(paragraph)
    return (letter and letter.lastgroup) or "en"


def _is_abbreviation(paragraph: str, end: int, code: str) -> bool:
    """True if the full stop before `end` belongs to an abbreviation, an initial or an ordinal.

    In German, a number with a full stop is an ordinal, as in `der 1. Mai`; a year is not.
    """
    if paragraph[end - 2 : end] != ". ":
        return False
    word = paragraph[paragraph.rfind(" ", 0, end - 2) + 1 : end - 2].lstrip(_OPENING_MARKS)
    if len(word) == 1 and word.isalpha():
        return word not in "IЯ"
    if code == "de" and len(word) < 3 and word.isdecimal():
        return True
    if paragraph[end : end + 1].isdecimal() and _BEFORE_NUMBER.fullmatch(word):
        return True
    return _ABBREVIATION.fullmatch(word) is not None


def _without_marks(paragraph: str) -> str:
    """The paragraph with its quotation marks and brackets replaced; its length stays.

    sentencex never splits a quotation, of any length, and puts an unclosed mark on the wrong side
    of an end.
    """
    opened = _OPENING_MARK.sub("_", paragraph)
    blotted: str = _CLOSING_MARK.sub(lambda marks: marks[1] + " " * (len(marks[0]) - 1), opened)
    return blotted


def _candidates(text: str, code: str) -> Iterator[int]:
    """Yield the possible ends of sentences, without the end of the text.

    A Chinese or Japanese full stop ends a sentence in any language; the text between two of them
    goes to sentencex, which is slow with them.
    """
    start = 0
    narrow = _NARROW_END.search(text)
    for match in _WIDE_END.finditer(text):
        if narrow and narrow.start() < match.start():
            yield from _narrow(text, start, match.start(), code)
            narrow = _NARROW_END.search(text, match.end())
        start = match.end()
        if start < len(text):
            yield start
    if narrow:
        yield from _narrow(text, start, len(text), code)


def _narrow(text: str, start: int, end: int, code: str) -> Iterator[int]:
    """Yield the ends that sentencex finds, a window at a time, since it takes quadratic time.

    The last sentence of a window may be cut, so that the next window begins with it.
    """
    passed = WINDOW_CHARS
    while start < end:
        check_cpu()
        window = text[start : min(start + WINDOW_CHARS, end)]
        *whole, last = sentencex.segment(code, window)
        before = start
        for sentence in whole:
            start += len(sentence)
            if sentence[-1] == " ":
                yield start
        if start + len(last) >= end:
            return
        # A sentence as long as a window is tried again from its start; after two windows it is cut.
        if not whole or passed + start - before < WINDOW_CHARS // 2:
            rest = window[start - before :]
            start += rest.rfind(" ") + 1 or len(rest)
        passed = start - before
