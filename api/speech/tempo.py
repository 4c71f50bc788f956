"""Speech made faster or slower, at its own pitch."""

from __future__ import annotations

from collections.abc import Iterator

import av
import numpy as np
from av.filter import Graph

from shared.audio.fades import EMPTY_PCM
from shared.audio.frames import TIME_BASE, frame_of
from shared.audio.wav import Pcm
from shared.jobs import SAMPLE_RATE

# FFmpeg's filter gives a frame out once the next one is in, so they are short: 40 ms.
FILTER_FRAME_SAMPLES = SAMPLE_RATE * 40 // 1_000
# Beyond these it leaves parts out, or takes none; several in a row do not.
MIN_STEP, MAX_STEP = 0.5, 2.0


class Tempo:
    """FFmpeg's `atempo` over int16 samples that come in pieces; `speed` is 2 for half the time."""

    def __init__(self, speed: float) -> None:
        self._graph, self._taken = Graph(), 0
        last = self._graph.add_abuffer(
            format="s16", sample_rate=SAMPLE_RATE, layout="mono", time_base=TIME_BASE
        )
        for step in _steps(speed):
            tempo = self._graph.add("atempo", f"{step:.6f}")
            last.link_to(tempo)
            last = tempo
        last.link_to(self._graph.add("abuffersink"))
        self._graph.configure()

    def add(self, pcm: Pcm) -> Pcm:
        """Take the next samples; returns what has become of them and of earlier ones."""
        for first in range(0, len(pcm), FILTER_FRAME_SAMPLES):
            part = pcm[first : first + FILTER_FRAME_SAMPLES]
            self._graph.push(frame_of(part, self._taken))
            self._taken += len(part)
        return self._pull()

    def close(self) -> Pcm:
        """The rest."""
        self._graph.push(None)
        return self._pull()

    def _pull(self) -> Pcm:
        return np.concatenate([EMPTY_PCM, *self._ready()])

    def _ready(self) -> Iterator[Pcm]:
        while True:
            try:
                frame = self._graph.pull()
            except (av.BlockingIOError, av.EOFError):
                return
            assert isinstance(frame, av.AudioFrame)
            yield frame.to_ndarray()[0]


def _steps(speed: float) -> list[float]:
    """Factors that the filter can do, whose product is the speed."""
    steps = []
    for most in (MAX_STEP, MIN_STEP):
        while (speed > most) if most > 1 else (speed < most):
            steps.append(most)
            speed /= most
    return [*steps, speed]
