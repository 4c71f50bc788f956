"""The length of a text's speech, before it is spoken: an estimate, and an upper bound."""

from __future__ import annotations

import math
import re
import unicodedata

FRAMES_PER_S = 12.5
SAMPLES_PER_FRAME = 1_920  # at 24 kHz
# The cost of the shortest segment: the model reads its prompt, and speaks about 1 s.
MIN_FRAMES = 12
_LETTERS_PER_S, _IDEOGRAPHS_PER_S = 15, 4
# Han, kana, Hangul and full-width forms.
_WIDE_CHARS = re.compile(
    "[\u1100-\u11ff\u2e80-\ua4cf\uac00-\ud7af\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]"
)

# The letters of a digit in the longest words for numbers; an ideograph takes as long as 4 letters.
LETTERS_PER_DIGIT = {
    "english": 12,
    "german": 13,
    "french": 13,
    "spanish": 12,
    "italian": 12,
    "portuguese": 13,
    "russian": 12,
    "chinese": 8,
    "japanese": 8,
    "korean": 9,
}
_LETTERS_PER_FORM = 12
_SHORT_FORMS = re.compile(r"[\d$¢-©«¬®°±²³¹µ×÷€₩-₽№™←-⇿∀-⋿%‰&@#/+=<>＄％＆]")
_DIGITS = re.compile(r"[\d²³¹⁰⁴-⁹₀-₉]++")
# A row of one symbol, such as `=====`, is spoken once at the most.
_SYMBOLS = re.compile(r"([$¢-¥§©®°±µ×÷€₩-₽№™←-⇿∀-⋿%‰&@#/+=<>＄％＆])\1*+")
_UNITS = re.compile(
    r"(?<=\d)\s?(?:[mcdkµμ]?m|k?g|mg|[mcdh]?l|h|min|m?s|[kMG]?Hz|[kMGT]?W|[kMG]?Wh|k?V|m?A|k?J"
    r"|k?cal|[hkM]?Pa|m?bar|[kKMGT]i?B|[kMG]bit|ft|in|yd|mi|mph|oz|lbs?|px|pt|dpi|ha|bn|mn|[kKM]"
    r"|Mio|Mrd|Mill|[мк]?м|см|к?г|л|руб|тыс|млн|млрд)\b"
)


def expected_frames(text: str) -> int:
    """The codec frames (80 ms each) of a text at a usual pace, at least `MIN_FRAMES`.

    Example: 150 letters are 10 s, which are 125 frames.
    """
    return max(MIN_FRAMES, math.ceil(expected_seconds(text) * FRAMES_PER_S))


def expected_seconds(text: str) -> float:
    """The seconds of a text's speech at a usual pace: 150 letters are 10 s."""
    narrow = len(text) if text.isascii() else len(_WIDE_CHARS.sub("", text))
    return narrow / _LETTERS_PER_S + (len(text) - narrow) / _IDEOGRAPHS_PER_S


def wide_chars(text: str) -> int:
    """The number of characters that take two columns, such as ideographs."""
    return sum(unicodedata.east_asian_width(char) in "WF" for char in text)


def extra_letters(text: str, language: str) -> int:
    """The letters by which what is spoken of a text exceeds what is written.

    Numbers, symbols and units are longer as words: in English, each digit counts as 11 letters, as
    in `seven hundred and seventy-seven`, and `%` and `km` as 12. An upper bound, by figures from
    CLDR's words for numbers; without a known language, that of the longest words.
    """
    if not _SHORT_FORMS.search(text):
        return 0
    digits = sum(map(len, _DIGITS.findall(text)))
    forms = sum(1 for _ in _SYMBOLS.finditer(text)) + sum(1 for _ in _UNITS.finditer(text))
    a_digit = LETTERS_PER_DIGIT.get(language.lower(), max(LETTERS_PER_DIGIT.values()))
    return digits * (a_digit - 1) + forms * (_LETTERS_PER_FORM - 1)


def frame_bound(text: str, language: str = "auto") -> int:
    """The upper bound of codec frames (80 ms each) for the speech of `text`.

    Slow speech is about 8 letters or 2 ideographs a second; of numbers and symbols, the letters are
    those of their words. The bound is twice that time and 4 s more, so that only a model that does
    not stop reaches it: 80 letters have 24 s, 300 frames. At most 2,048 (163.84 s), qwen-tts's own
    default.
    """
    wide = wide_chars(text)
    letters = len(text) - wide + extra_letters(text, language)
    seconds = 4 + 2 * (wide / 2 + letters / 8)
    return min(2_048, int(seconds * FRAMES_PER_S))
