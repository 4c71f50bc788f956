"""The sound of units: pulses and noise through the envelope's minimum-phase filter.

A pulse begins each frame and noise repeats with each unit, so that the sound of a unit follows
from its codes alone, whatever came before: what the vocoder has to learn has no hidden state.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from training.units import (
    BAND_POINTS,
    BINS,
    COLUMNS,
    FFT_SIZE,
    PITCH_STEP_HZ,
    SAMPLE_RATE,
    UNIT_S,
    UNITS_PER_FRAME,
    Floats,
    Ints,
)

OUTPUT_RATE = 24_000
UNIT_SAMPLES = round(UNIT_S * OUTPUT_RATE)
FRAME_SAMPLES = UNITS_PER_FRAME * UNIT_SAMPLES

_UNIT = round(UNIT_S * SAMPLE_RATE)
_COLUMN = _UNIT // COLUMNS
_NOISE = np.random.default_rng(7).standard_normal(_UNIT)
_WINDOW = np.hanning(_COLUMN + 1)[:-1]
# The share of noise in voiced sounds: little up to 2.4 kHz, more than half at 8 kHz.
_SHARE = np.linspace(0, 1, BINS)
_BREATH = 0.02 + 0.6 * ((_SHARE - 0.3) / 0.7).clip(0)


def render(envelope: Floats, voiced: Floats, pitch: Ints, stretch: float) -> Floats:
    """Samples float32 [units * UNIT_SAMPLES] at 24 kHz.

    `envelope` [units, COLUMNS, BANDS] and `voiced` [units, COLUMNS] as in `Speech`; `pitch` [units]
    in steps of `PITCH_STEP_HZ`; `stretch` moves formants up (1.1: a smaller head).
    """
    log_power = _spectra(envelope.reshape(-1, envelope.shape[-1]), stretch)
    is_voiced = voiced.reshape(-1) > 0.5
    length = len(pitch) * _UNIT
    sound = np.zeros(length + FFT_SIZE)
    _add_pulses(sound, log_power, is_voiced, pitch)
    _add_noise(sound, log_power, is_voiced)
    return resample_poly(sound[:length], 3, 2).astype(np.float32)


def _spectra(bands: Floats, stretch: float) -> Floats:
    """Log power [columns, BINS] between the bands' points, with formants `stretch` times higher."""
    bins = (np.arange(BINS) / stretch).clip(0, BINS - 1)
    left = (np.searchsorted(BAND_POINTS, bins, side="right") - 1).clip(0, len(BAND_POINTS) - 2)
    share = (bins - BAND_POINTS[left]) / (BAND_POINTS[left + 1] - BAND_POINTS[left])
    return bands[:, left] * (1 - share) + bands[:, left + 1] * share


def _add_pulses(
    sound: Floats,
    log_power: Floats,
    is_voiced: NDArray[np.bool_],
    pitch: Ints,
) -> None:
    per_unit = np.rint(pitch * PITCH_STEP_HZ * UNIT_S).astype(int)
    places = np.concatenate(
        [unit * _UNIT + np.arange(count) * _UNIT // count for unit, count in enumerate(per_unit)]
    )
    periods = np.repeat(_UNIT / per_unit, per_unit)
    columns = places // _COLUMN
    chosen = is_voiced[columns]
    harmonic = log_power[columns[chosen]] + np.log(1 - _BREATH**2)
    pulses = np.fft.irfft(_minimum_phase(harmonic), axis=1) * np.sqrt(periods[chosen])[:, None]
    for place, pulse in zip(places[chosen], pulses, strict=True):
        sound[place : place + FFT_SIZE] += pulse


def _add_noise(sound: Floats, log_power: Floats, is_voiced: NDArray[np.bool_]) -> None:
    """Add noise in windows of a column that overlap by half."""
    log_power = np.repeat(log_power + 2 * np.log(np.where(is_voiced[:, None], _BREATH, 1.0)), 2, 0)
    hop = _COLUMN // 2
    starts = np.arange(len(log_power)) * hop
    noise = _NOISE[(starts[:, None] + np.arange(_COLUMN)) % _UNIT] * _WINDOW
    filtered = np.fft.irfft(np.fft.rfft(noise, FFT_SIZE) * _minimum_phase(log_power), axis=1)
    for start, grain in zip(starts, filtered, strict=True):
        sound[start : start + FFT_SIZE] += grain[: len(sound) - start]


def _minimum_phase(log_power: Floats) -> NDArray[np.complex128]:
    """The spectra [n, BINS] of the causal filters with these log powers, by their cepstra."""
    cepstrum = np.fft.irfft(log_power / 2, axis=1)
    cepstrum[:, 1 : FFT_SIZE // 2] *= 2
    cepstrum[:, FFT_SIZE // 2 + 1 :] = 0
    return np.exp(np.fft.rfft(cepstrum, axis=1))
