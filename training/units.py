"""Speech in units of 40 ms: what the codes are made from, and how it sounds.

The teacher's speech is made regular, so that a small model can learn it: each phone lasts a whole
number of units, and so do the pauses; each frame (two units) has one pitch, a multiple of 25 Hz.
A unit is then four columns of 10 ms: the spectral envelope at `BANDS` points and the share of
voiced time. Whisper tiny.en understands it like the teacher itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]

SAMPLE_RATE = 16_000  # of the teacher
UNIT_S = 0.04
COLUMNS = 4  # of a unit
BANDS = 48
PITCH_STEP_HZ = 25
UNITS_PER_FRAME = 2
FFT_SIZE = 1024
BINS = FFT_SIZE // 2 + 1
PHONES = (  # noqa: SIM905
    "pau aa ae ah ao aw ax ay b ch d dh eh er ey f g hh ih iy jh k l m n ng ow oy p r s sh t th uh"
    " uw v w y z zh"
).split()


@dataclass(frozen=True)
class Speech:
    """A text as spoken, an even number of units.

    `envelope` float32 [units, COLUMNS, BANDS] is log power, `voiced` float32 [units, COLUMNS] from
    0 to 1, `pitch` float32 [units] in Hz (interpolated where nothing is voiced), `phones` [units]
    into `PHONES`, `letters` [units] into the text.
    """

    envelope: Floats
    voiced: Floats
    pitch: Floats
    phones: Ints
    letters: Ints


def _band_points() -> Floats:
    """The FFT bins, as fractions, of `BANDS` points that are even on the mel scale."""
    top = 1_127 * np.log1p(SAMPLE_RATE / 2 / 700)
    hertz = 700 * np.expm1(np.linspace(0, top, BANDS) / 1_127)
    return hertz / (SAMPLE_RATE / 2) * (BINS - 1)


BAND_POINTS = _band_points()
