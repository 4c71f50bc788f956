"""What may be wrong with a recording though it can be used, said so that it can be mended."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from api.voices.reference_audio import Sound
from shared.store.voices import VoiceWarning

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


def find(
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
