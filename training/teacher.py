"""The teacher: flite's voice `rms`, with the phones that it speaks and their times."""

from __future__ import annotations

import subprocess
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

VOICE = "rms"
# One character for one, so that an index into the plain text is one into the text.
_PLAIN = str.maketrans({"“": '"', "”": '"', "‘": "'", "’": "'", "…": ".", "—": ",", "–": ","})


@dataclass(frozen=True)
class Recording:
    """`samples` float64 [n] at 16 kHz; the `phones` that they hold and the `ends` of each in s."""

    samples: NDArray[np.float64]
    phones: list[str]
    ends: list[float]


def speak(text: str, scratch: Path) -> Recording:
    """The teacher's recording of `text`; `scratch` is a WAV file to write over.

    Raises `ValueError` if nothing was spoken, and `CalledProcessError` or `FileNotFoundError` if
    flite fails or is not installed.
    """
    command = ["flite", "-voice", VOICE, "-psdur", "-t", text.translate(_PLAIN), "-o", str(scratch)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    pairs = [one.rsplit(":", 1) for one in printed]
    phones = [phone for phone, _ in pairs]
    if len(set(phones)) < 2:
        raise ValueError(f"nothing to speak in {text!r}")
    with wave.open(str(scratch)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16) / 32_768
    return Recording(samples, phones, [float(end) for _, end in pairs])
