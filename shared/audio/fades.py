"""Fades at the edges of segments, and the silence between them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shared.audio.wav import Pcm
from shared.speech_model import SAMPLE_RATE

# 5 ms: long enough to prevent a click, too short to notice.
FADE_SAMPLES = SAMPLE_RATE * 5 // 1_000
EMPTY_PCM = np.zeros(0, np.int16)


def pause_samples(pause_s: float) -> int:
    """The length of a silence in samples."""
    return round(pause_s * SAMPLE_RATE)


def fade_edges(pcm: Pcm, *, start: bool, end: bool) -> Pcm:
    """A segment [n] with raised-cosine fades of 5 ms, or of half its length if that is less."""
    length = min(FADE_SAMPLES, len(pcm) // 2)
    if not length:
        return pcm
    rise, changed = _rise(length), pcm.copy()
    if start:
        changed[:length] = np.rint(changed[:length] * rise)
    if end:
        changed[-length:] = np.rint(changed[-length:] * rise[::-1])
    return changed


def _rise(length: int) -> NDArray[np.float64]:
    rise: NDArray[np.float64] = 0.5 - 0.5 * np.cos(np.pi * (np.arange(length) + 0.5) / length)
    return rise


class StreamingFade:
    """The fades of a segment that comes in chunks: the same samples as `fade_edges` of the whole.

    It holds back the first 10 ms, until the length of the fades is known, and then always the last
    5 ms. Example: chunks of 100, 200 and 300 samples return 0, 180 and 300; `close` returns 120.
    """

    def __init__(self, *, start: bool, end: bool) -> None:
        self._start, self._end = start, end
        self._held, self._has_begun = EMPTY_PCM, False

    def add(self, pcm: Pcm) -> Pcm:
        """Take the next samples; returns those that no later fade can change."""
        held = np.concatenate([self._held, pcm])
        if not self._has_begun:
            self._has_begun = len(held) >= 2 * FADE_SAMPLES
            if not self._has_begun:
                self._held = held
                return EMPTY_PCM
            held = fade_edges(held, start=self._start, end=False)
        self._held = held[-FADE_SAMPLES:]
        return held[:-FADE_SAMPLES]

    def close(self) -> Pcm:
        """Return the last samples, faded if the segment ends here."""
        if not self._has_begun:
            return fade_edges(self._held, start=self._start, end=self._end)
        if not self._end:
            return self._held
        return np.rint(self._held * _rise(FADE_SAMPLES)[::-1]).astype(np.int16)
