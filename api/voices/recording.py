"""A recording made good: one channel at the models' rate, without the silence at its ends."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import soxr
from numpy.typing import NDArray

from api.voices.reference_audio import Samples, Sound, decode
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

# Bounds of what needs no warning.
MIN_GOOD_S, MAX_GOOD_S = 3.0, 30.0
FULL_SCALE_LEVEL, MAX_CLIPPED_SHARE = 0.999, 1e-3
MIN_LEVEL_DB = -40.0
# What is lower was made by no microphone: silence that a program has put in.
DIGITAL_SILENCE_DB = -100.0
MIN_SNR_DB = 20.0
MIN_WIDE_BAND_RATE = 16_000
# Of the energy of both channels, how much may be in what tells them apart.
MAX_SIDE_SHARE = 0.1
# Unhurried speech, in ideographs and in letters a second; how far from that a recording may be.
IDEOGRAPHS_PER_S, LETTERS_PER_S = 5, 15
MIN_PACE_RATIO, MAX_PACE_RATIO = 0.4, 3.0

_Warnings = Iterator[VoiceWarning]


@dataclass(frozen=True, eq=False)
class Recording:
    """The WAV that models hear (24 kHz, mono, 16 bit), and what may be wrong with it."""

    wav: bytes
    duration_s: float
    warnings: tuple[VoiceWarning, ...]


def normalise_recording(content: bytes, text: str | None, max_s: float) -> Recording:
    """Read an uploaded file, in which `text` is said; raises `InvalidRequest` if it is no use."""
    sound = decode(content, max_s, param=FILE_PARAM)
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
    found = quality_warnings(sound, levels, duration_s, text)
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


def quality_warnings(
    sound: Sound, levels: NDArray[np.float64], duration_s: float, text: str | None
) -> Iterator[VoiceWarning]:
    """Each thing that may be wrong with a decoded file.

    `levels` are those of its 20 ms in dB, `duration_s` its length without silence at its ends, and
    `text` what is said in it.
    """
    yield from _of_length(duration_s)
    yield from _of_level(sound, levels)
    yield from _of_noise(levels)
    yield from _of_format(sound)
    yield from _of_text(duration_s, text)


def _of_length(duration_s: float) -> _Warnings:
    if duration_s < MIN_GOOD_S:
        yield _warning("short", f"it lasts {duration_s:.1f} s: 5 to 15 s make a better voice")
    if duration_s > MAX_GOOD_S:
        yield _warning("long", f"it lasts {duration_s:.1f} s: more than 15 s only take longer")


def _of_level(sound: Sound, levels: NDArray[np.float64]) -> _Warnings:
    clipped = float((np.abs(sound.samples) >= FULL_SCALE_LEVEL).mean())
    if clipped > MAX_CLIPPED_SHARE:
        yield _warning("clipping", f"{clipped:.1%} of it is cut off at full scale: record lower")
    loud = float(np.percentile(levels, 95))
    if loud < MIN_LEVEL_DB:
        yield _warning("low_level", f"it is at {loud:.0f} dB only: record louder, or closer")


def _of_noise(levels: NDArray[np.float64]) -> _Warnings:
    """The weakest tenth of what a microphone has heard is taken for the noise between words."""
    heard = levels[levels > DIGITAL_SILENCE_DB]
    loud, quiet = np.percentile(heard, (95, 10))
    if loud - quiet < MIN_SNR_DB:
        said = f"the voice is only {loud - quiet:.0f} dB above what is heard between words"
        yield _warning("noise", f"{said}: record in a quiet room, without music or echo")


def _of_format(sound: Sound) -> _Warnings:
    if sound.rate < MIN_WIDE_BAND_RATE:
        said = f"at {sound.rate:,} Hz it has no high tones"
        yield _warning("narrow_band", f"{said}: record at 24,000 Hz or more")
    if sound.samples.shape[1] > 1:
        left, right = sound.samples[:, 0], sound.samples[:, 1]
        side, middle = ((left - right) ** 2).sum(), ((left + right) ** 2).sum()
        if side > MAX_SIDE_SHARE * (side + middle):
            yield _warning("channels_differ", "its channels differ, and were mixed: send one")


def _of_text(duration_s: float, text: str | None) -> _Warnings:
    if text is None:
        said = "without ref_text, what is said in it, only the timbre is used"
        yield _warning("no_ref_text", f"{said}: send it for the best likeness")
        return
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    usual_s = wide / IDEOGRAPHS_PER_S + (len(text) - wide) / LETTERS_PER_S
    if not MIN_PACE_RATIO <= duration_s / usual_s <= MAX_PACE_RATIO:
        said = f"{len(text):,} characters in {duration_s:.1f} s is not how anybody speaks"
        yield _warning("ref_text_does_not_fit", f"{said}: ref_text must be all that is said")


def _warning(code: str, message: str) -> VoiceWarning:
    return VoiceWarning(code=code, message=message)
