"""Uploaded recordings: normalised to the models' input, with warnings about their quality."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import soxr
from numpy.typing import NDArray

from api.voices.decoding import Samples
from api.voices.reference_audio import (
    END_SILENCE_S,
    FRAMES_PER_S,
    Sound,
    decode,
    is_loud,
    levels_of,
)
from shared.audio.wav import encode_wav
from shared.durations import wide_chars
from shared.errors import InvalidRequest
from shared.speech_model import SAMPLE_RATE
from shared.store.voices import VoiceWarning

MIN_S = 1.0
FRAME_SAMPLES = SAMPLE_RATE // FRAMES_PER_S
KEPT_SILENCE_FRAMES = 4  # at the start
END_SILENCE_SAMPLES = int(END_SILENCE_S * SAMPLE_RATE)
FILE_PARAM = "audio_sample"

# Bounds of what needs no warning.
MIN_GOOD_S, MAX_GOOD_S = 3.0, 30.0
FULL_SCALE_LEVEL, MAX_CLIPPED_SHARE = 0.999, 1e-3
MIN_LEVEL_DB = -40.0
# No microphone is this quiet: lower levels are silence inserted by software.
DIGITAL_SILENCE_DB = -100.0
MIN_SNR_DB = 20.0
MIN_WIDE_BAND_RATE = 16_000
# The share of the energy that may be in the difference of the two channels.
MAX_SIDE_SHARE = 0.1
# Usual pace, in ideographs and in letters a second; the ratio to it that a recording may have.
IDEOGRAPHS_PER_S, LETTERS_PER_S = 5, 15
MIN_PACE_RATIO, MAX_PACE_RATIO = 0.4, 3.0

_Warnings = Iterator[VoiceWarning]


@dataclass(frozen=True, eq=False)
class Recording:
    """The WAV that models get (24 kHz, mono, 16 bit), its text, and its quality warnings.

    Without a text if the file was cut, since it would be that of the whole.
    """

    wav: bytes
    duration_s: float
    text: str | None
    warnings: tuple[VoiceWarning, ...]


def normalise_recording(content: bytes, text: str | None, max_s: float) -> Recording:
    """Normalise an uploaded file, whose words are `text`: mono, 24 kHz, silent ends trimmed.

    Half a second of silence stays at the end, or is added. Raises `InvalidRequest` if the file
    cannot be used.
    """
    sound = decode(content, max_s, param=FILE_PARAM)
    samples: Samples = soxr.resample(sound.mono, sound.rate, SAMPLE_RATE)
    levels = levels_of(samples, SAMPLE_RATE)
    loud = np.flatnonzero(is_loud(levels))
    first = max(0, int(loud[0]) - KEPT_SILENCE_FRAMES) * FRAME_SAMPLES
    speech_end = min(len(samples), (int(loud[-1]) + 1) * FRAME_SAMPLES)
    end = speech_end + END_SILENCE_SAMPLES
    trimmed = np.pad(samples[first:end], (0, max(0, end - len(samples))))
    speech_s = (speech_end - first) / SAMPLE_RATE
    if speech_s < MIN_S:
        raise InvalidRequest(
            f"there is {speech_s:.2f} s of sound in the recording; {MIN_S:g} to {max_s:g} s "
            "can be used, 10 s is best",
            param=FILE_PARAM,
        )
    told = (_warning(code, message) for code, message in sound.warnings())
    kept = None if sound.is_cut else text
    found = (*told, *quality_warnings(sound, levels, speech_s, kept))
    peak = max(1.0, float(np.abs(trimmed).max()))  # float files may exceed full scale
    wav = encode_wav(trimmed / np.float32(peak))
    return Recording(wav, round(len(trimmed) / SAMPLE_RATE, 3), kept, found)


def quality_warnings(
    sound: Sound, levels: NDArray[np.float64], duration_s: float, text: str | None
) -> Iterator[VoiceWarning]:
    """Yield a warning for each weakness of a decoded file.

    `levels` are those of its 20 ms frames in dB, `duration_s` is its length without the silence at
    its ends, `text` the words spoken in it.
    """
    if duration_s < MIN_GOOD_S:
        yield _warning("short", f"it lasts {duration_s:.1f} s: 5 to 15 s make a better voice")
    if duration_s > MAX_GOOD_S:
        yield _warning("long", f"it lasts {duration_s:.1f} s: more than 15 s only take longer")
    yield from _of_level(sound, levels)
    yield from _of_noise(levels)
    yield from _of_format(sound)
    yield from _of_text(duration_s, text)


def _of_level(sound: Sound, levels: NDArray[np.float64]) -> _Warnings:
    clipped = float((np.abs(sound.samples) >= FULL_SCALE_LEVEL).mean())
    if clipped > MAX_CLIPPED_SHARE:
        yield _warning("clipping", f"{clipped:.1%} of it is cut off at full scale: record lower")
    loud = float(np.percentile(levels, 95))
    if loud < MIN_LEVEL_DB:
        yield _warning("low_level", f"it is at {loud:.0f} dB only: record louder, or closer")


def _of_noise(levels: NDArray[np.float64]) -> _Warnings:
    """Estimate the noise between words by the 10th percentile of the levels.

    Digital silence does not count. Example: speech at -20 dB with pauses at -60 dB has 40 dB; below
    20 dB there is a warning.
    """
    recorded = levels[levels > DIGITAL_SILENCE_DB]
    loud, quiet = np.percentile(recorded, (95, 10))
    if loud - quiet < MIN_SNR_DB:
        said = f"the voice is only {loud - quiet:.0f} dB above what is heard between words"
        yield _warning("noise", f"{said}: record in a quiet room, without music or echo")


def _of_format(sound: Sound) -> _Warnings:
    if sound.rate < MIN_WIDE_BAND_RATE:
        said = f"at {sound.rate:,} Hz it has no high tones"
        yield _warning("narrow_band", f"{said}: record at 24,000 Hz or more")
    if sound.samples.shape[1] > 1 and not sound.cancels:
        left, right = sound.samples[:, 0], sound.samples[:, 1]
        side, middle = ((left - right) ** 2).sum(), ((left + right) ** 2).sum()
        if side > MAX_SIDE_SHARE * (side + middle):
            yield _warning("channels_differ", "its channels differ, and were mixed: send one")


def _of_text(duration_s: float, text: str | None) -> _Warnings:
    if text is None:
        said = "without ref_text, what is said in it, only the timbre is used"
        yield _warning("no_ref_text", f"{said}: send it for the best likeness")
        return
    wide = wide_chars(text)
    usual_s = wide / IDEOGRAPHS_PER_S + (len(text) - wide) / LETTERS_PER_S
    if not MIN_PACE_RATIO <= duration_s / usual_s <= MAX_PACE_RATIO:
        said = f"{len(text):,} characters in {duration_s:.1f} s is not how anybody speaks"
        yield _warning("ref_text_does_not_fit", f"{said}: ref_text must be all that is said")


def _warning(code: str, message: str) -> VoiceWarning:
    return VoiceWarning(code=code, message=message)
