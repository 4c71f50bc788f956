"""Samples as FFmpeg's libraries take them."""

from __future__ import annotations

from fractions import Fraction

import av

from shared.audio.wav import Pcm
from shared.jobs import SAMPLE_RATE

TIME_BASE = Fraction(1, SAMPLE_RATE)


def frame_of(samples: Pcm, at: int) -> av.AudioFrame:
    """A frame of int16 samples [n], n > 0, the first of which is number `at`."""
    frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
    frame.sample_rate, frame.time_base, frame.pts = SAMPLE_RATE, TIME_BASE, at
    return frame
