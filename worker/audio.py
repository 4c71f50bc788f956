"""Samples to WAV, and segments joined into one file in bounded memory."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from shared.jobs import SAMPLE_RATE
from shared.storage import Storage


@dataclass(frozen=True)
class Joined:
    """The size of a joined file."""

    samples: int
    size_bytes: int


def encode_wav(samples: NDArray[np.float32]) -> bytes:
    """Encode float32 samples [n] in [-1, 1] at 24 kHz as a mono 16 bit WAV."""
    file = io.BytesIO()
    soundfile.write(file, samples, SAMPLE_RATE, subtype="PCM_16", format="WAV")
    return file.getvalue()


def join(storage: Storage, keys: Iterable[str], target: str) -> Joined:
    """Join WAV objects in order into the object `target`, one in memory at a time."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "joined.wav"
        with soundfile.SoundFile(path, "w", SAMPLE_RATE, 1, "PCM_16") as joined:
            for key in keys:
                samples, _rate = soundfile.read(io.BytesIO(storage.get(key)), dtype="int16")
                joined.write(samples)
            length = joined.frames
        storage.put(target, path)
        return Joined(length, path.stat().st_size)
