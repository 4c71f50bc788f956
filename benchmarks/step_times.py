"""The times of an engine's steps and prompts, as measured, for an engine that only sleeps."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, replace
from typing import Self

SOURCE = "docs/performance.md, 0.6B, two cores of an Intel Xeon @ 2.80 GHz"


@dataclass(frozen=True)
class StepTimes:
    """Seconds of a step by its number of rows, the codec's work in it, and of a prompt's prefill.

    Between two measured numbers of rows a step takes what lies on the straight line between them.
    """

    rows: tuple[int, ...]
    seconds: tuple[float, ...]
    prefill_s: float

    def step_s(self, rows: int) -> float:
        """Seconds of a step that makes one frame of each row."""
        last = len(self.rows) - 1
        right = min(max(bisect_left(self.rows, rows), 1), last)
        low, high = self.rows[right - 1], self.rows[right]
        part = (rows - low) / (high - low)
        return self.seconds[right - 1] + part * (self.seconds[right] - self.seconds[right - 1])

    def faster(self, times: float) -> Self:
        """Those of an engine that is `times` times as fast."""
        seconds = tuple(each / times for each in self.seconds)
        return replace(self, seconds=seconds, prefill_s=self.prefill_s / times)


def _measured(rtf: dict[int, float], first_sound_s: tuple[float, float]) -> StepTimes:
    """From RTF by rows: 32 rows at 0.24 make 32 frames of 0.08 s in 0.61 s.

    `first_sound_s` is that of one request alone and of 32: the difference is 31 prompts.
    """
    alone_s, many_s = first_sound_s
    seconds = tuple(value * rows * 0.08 for rows, value in rtf.items())
    return StepTimes(tuple(rtf), seconds, (many_s - alone_s) / 31)


MEASURED = {
    "int8": _measured({1: 1.17, 4: 0.48, 8: 0.33, 16: 0.29, 32: 0.24}, (0.2, 2.4)),
    "float32": _measured({1: 2.19, 4: 0.86, 8: 0.62, 16: 0.56, 32: 0.52}, (0.3, 5.3)),
}
