"""An engine whose arithmetic is sleep; its scheduler, its thread and its vocoder are real."""

from __future__ import annotations

import time
from collections.abc import Sequence as Sequential
from typing import Any

import numpy as np

from benchmarks.step_times import StepTimes
from shared.durations import SAMPLES_PER_FRAME, expected_frames
from shared.models import ModelCard
from shared.speech_model import Task
from worker.engine.compute_thread import ComputeThread
from worker.engine.engine import Engine
from worker.engine.request import CODE_GROUPS, Codes, Reference, Samples, SynthesisRequest
from worker.engine.sequence import Sequence

CARD = ModelCard(
    id="sleeping-CustomVoice",
    task=Task.CUSTOM_VOICE,
    size="none",
    voices=("vivian",),
    languages=("auto",),
    instructions=False,
)
FRAME = [0] * CODE_GROUPS


class SleepingRunner:
    """Obeys `Runner`: a text has the frames that are expected of it, at the times of an engine.

    What Python does between two steps is part of the measured times, so a step is over one step's
    time after the step before, unless there was a pause longer than a step.
    """

    def __init__(self, times: StepTimes) -> None:
        self._times = times
        self._rows: list[Sequence] = []
        self._joining: Sequence | None = None
        self._over_s = 0.0
        self.steps = self.frames = 0

    @property
    def rows(self) -> int:
        """The number of rows now."""
        return len(self._rows)

    def prepare(self, request: SynthesisRequest) -> None:
        """Nothing to prepare."""

    def admit(self, sequence: Sequence) -> None:
        """Take the next prompt."""
        self._joining = sequence

    def prefill(self) -> bool:
        """Read the whole prompt."""
        assert self._joining is not None
        self._sleep(self._times.prefill_s)
        self._rows.append(self._joining)
        self._joining = None
        return True

    def step(self) -> list[int]:
        """Make one frame of every row; returns the rows that have ended, the last one first."""
        self._sleep(self._times.step_s(len(self._rows)))
        self.steps, self.frames = self.steps + 1, self.frames + len(self._rows)
        ended = [row for row, sequence in enumerate(self._rows) if _has_ended(sequence)]
        return ended[::-1]

    def remove(self, row: int) -> None:
        """Free a row, which the last row then takes."""
        self._rows[row] = self._rows[-1]
        self._rows.pop()

    def clear(self) -> None:
        """Forget every row."""
        self._rows = []

    def _sleep(self, seconds: float) -> None:
        now_s = time.monotonic()
        begin_s = self._over_s if now_s - self._over_s < seconds else now_s
        self._over_s = begin_s + seconds
        time.sleep(max(0.0, self._over_s - now_s))


def _has_ended(sequence: Sequence) -> bool:
    """Add a frame; True after the last one."""
    sequence.frames.append(FRAME)
    if len(sequence.frames) >= expected_frames(sequence.request.text):
        sequence.finish_reason = "stop"
        return True
    return sequence.request.cancelled.is_set()


class _NoReference:
    is_done = True


class SilentCodec:
    """Obeys `Codec`: silence, at once; the codec's time is in the steps."""

    chunk = 4

    def open_reference(self, _reference: Reference | None, _codes: Codes | None) -> _NoReference:
        """No reference."""
        return _NoReference()

    def decode_reference(self, reference: Any) -> None:
        """Nothing to decode."""

    def open_stream(self, _reference: Any) -> None:
        """No state."""

    def decode(self, streams: Sequential[Any], codes: Codes) -> Samples:
        """Silence of the length of the frames."""
        return np.zeros((len(streams), codes.shape[1] * SAMPLES_PER_FRAME), np.float32)


def sleeping_engine(runner: SleepingRunner, slots: int, thread: ComputeThread) -> Engine:
    """The real engine over a runner that sleeps."""
    return Engine(runner, SilentCodec(), slots=slots, max_waiting=2 * slots, thread=thread)
