"""The codes of a frame (80 ms): which of the 16 groups says what, and the two speakers.

A frame is two units of 40 ms. The codebooks of the pointer and of the unused groups are zero, so
that they carry no sound, and the layout is the released one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.units import PITCH_STEP_HZ, Floats, Ints

GROUPS = 16
# Group 0 and 2: the first unit and the second one, each among `FIRST_SIZE` sounds.
FIRST_UNIT, POINTER, SECOND_UNIT, PITCH, FIRST_DETAIL, SECOND_DETAIL = range(6)
USED_GROUPS = 6
FIRST_SIZE, DETAIL_SIZE = 1_024, 256
POINTER_SIZE = 256  # how many positions back the text token lies that is being spoken

_LOWEST_PITCH = 3  # steps


@dataclass(frozen=True)
class Speaker:
    """A voice made of the teacher's: `pitch` times as high, in `steps`, formants `stretch` up."""

    name: str
    pitch: float
    steps: range
    stretch: float

    def steps_of(self, hertz: Floats) -> Ints:
        """The step of each pitch in Hz."""
        nearest = np.rint(hertz * self.pitch / PITCH_STEP_HZ).astype(np.int64)
        return nearest.clip(self.steps.start, self.steps.stop - 1)


SPEAKERS = (Speaker("ada", 1.75, range(6, 10), 1.1), Speaker("alan", 1.0, range(3, 6), 1.0))
PITCH_SIZE = 7  # 75 to 125 Hz of alan, 150 to 225 Hz of ada


def pitch_codes(steps: Ints) -> Ints:
    """The codes of pitches in steps."""
    return steps - _LOWEST_PITCH


def pitch_steps(codes: Ints) -> Ints:
    """The pitches in steps of their codes."""
    return codes + _LOWEST_PITCH


def stretch_of(steps: Ints) -> float:
    """The formants' stretch of the speaker who speaks at these pitches, most of the time."""
    return next(one.stretch for one in SPEAKERS if int(np.median(steps)) in one.steps)
