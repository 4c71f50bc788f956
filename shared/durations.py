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


def frame_bound(text: str) -> int:
    """The upper bound of codec frames (80 ms each) for the speech of `text`.

    Slow speech is about 8 letters or 2 ideographs a second. The bound is twice that time and 4 s
    more, so that only a model that does not stop reaches it: 80 letters have 24 s, 300 frames.
    At most 2,048 (163.84 s), qwen-tts's own default.
    """
    wide = wide_chars(text)
    seconds = 4 + 2 * (wide / 2 + (len(text) - wide) / 8)
    return min(2_048, int(seconds * FRAMES_PER_S))
