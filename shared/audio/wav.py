"""The WAV of segments until the join: mono, 16 bit."""

from __future__ import annotations

import io

import numpy as np
import soundfile
from numpy.typing import NDArray

from shared.speech_model import SAMPLE_RATE

Pcm = NDArray[np.int16]


def encode_wav(samples: NDArray[np.float32]) -> bytes:
    """Encode float32 samples [n] in [-1, 1] at 24 kHz as a mono 16 bit WAV."""
    file = io.BytesIO()
    soundfile.write(file, samples, SAMPLE_RATE, subtype="PCM_16", format="WAV")
    return file.getvalue()


def to_pcm(samples: NDArray[np.float32]) -> Pcm:
    """float32 samples [n] as int16, rounded as `encode_wav` does it."""
    return decode_wav(encode_wav(samples))


def decode_wav(content: bytes) -> Pcm:
    """The int16 samples [n] of a WAV from `encode_wav`."""
    samples, rate = soundfile.read(io.BytesIO(content), dtype="int16")
    assert rate == SAMPLE_RATE
    assert samples.ndim == 1
    found: Pcm = samples
    return found
