"""A recording made good: one channel at the models' rate, without the silence at its ends."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import soxr
from numpy.typing import NDArray

from api.voices import quality_warnings as recording_warnings
from api.voices import reference_audio as reference
from api.voices.reference_audio import Samples
from shared.audio import encode_wav
from shared.errors import InvalidRequest
from shared.jobs import SAMPLE_RATE
from shared.store.voices import VoiceWarning

MIN_S = 1.0
FRAME_SAMPLES = SAMPLE_RATE // 50
# What is so much weaker than the loudest 20 ms is silence; of that, some is kept at each end.
SILENCE_DB, KEPT_SILENCE_FRAMES = 45.0, 4
MIN_LEVEL = 1e-6
FILE_PARAM = "audio_sample"


@dataclass(frozen=True, eq=False)
class Recording:
    """The WAV that models hear (24 kHz, mono, 16 bit), and what may be wrong with it."""

    wav: bytes
    duration_s: float
    warnings: tuple[VoiceWarning, ...]


def normalise_recording(content: bytes, text: str | None, max_s: float) -> Recording:
    """Read an uploaded file, in which `text` is said; raises `InvalidRequest` if it is no use."""
    sound = reference.decode(content, max_s, param=FILE_PARAM)
    samples: Samples = soxr.resample(sound.mono, sound.rate, SAMPLE_RATE)
    levels = _levels(samples)
    trimmed = _trimmed(samples, levels)
    duration_s = len(trimmed) / SAMPLE_RATE
    if duration_s < MIN_S:
        raise InvalidRequest(
            f"there is {duration_s:.2f} s of sound in the recording; {MIN_S:g} to {max_s:g} s "
            "can be used, 10 s is best",
            param=FILE_PARAM,
        )
    found = recording_warnings.find(sound, levels, duration_s, text)
    return Recording(_wav(trimmed), round(duration_s, 3), tuple(found))


def _levels(samples: Samples) -> NDArray[np.float64]:
    """The level of each 20 ms in dB, 0 being a square wave at full scale."""
    frames = np.pad(samples, (0, -len(samples) % FRAME_SAMPLES)).reshape(-1, FRAME_SAMPLES)
    level: NDArray[np.float64] = np.sqrt((frames.astype(np.float64) ** 2).mean(axis=1))
    return 20 * np.log10(np.maximum(level, MIN_LEVEL))


def _trimmed(samples: Samples, levels: NDArray[np.float64]) -> Samples:
    heard = np.flatnonzero(levels > levels.max() - SILENCE_DB)
    first = max(0, int(heard[0]) - KEPT_SILENCE_FRAMES) * FRAME_SAMPLES
    return samples[first : (int(heard[-1]) + 1 + KEPT_SILENCE_FRAMES) * FRAME_SAMPLES]


def _wav(samples: Samples) -> bytes:
    loudest = max(1.0, float(np.abs(samples).max()))  # files of floats may go beyond full scale
    return encode_wav(samples / np.float32(loudest))
