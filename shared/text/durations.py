"""The length of a text's speech, as far as it can be told before it is spoken."""

from __future__ import annotations

import math
import re

FRAMES_PER_S = 12.5
SAMPLES_PER_FRAME = 1_920  # at 24 kHz
# What a segment costs however short it is: the model reads its prompt, and speaks about a second.
MIN_FRAMES = 12
_LETTERS_PER_S, _IDEOGRAPHS_PER_S = 15, 4
# Han, kana, Hangul and full-width forms.
_WIDE_CHARS = re.compile(
    "[\u1100-\u11ff\u2e80-\ua4cf\uac00-\ud7af\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]"
)


def expected_frames(text: str) -> int:
    """The codec frames (80 ms each) that a text takes at a usual pace, at least `MIN_FRAMES`."""
    narrow = len(text) if text.isascii() else len(_WIDE_CHARS.sub("", text))
    seconds = narrow / _LETTERS_PER_S + (len(text) - narrow) / _IDEOGRAPHS_PER_S
    return max(MIN_FRAMES, math.ceil(seconds * FRAMES_PER_S))
