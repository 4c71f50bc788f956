"""The sound of units: its pitch, its length and its independence from what came before."""

from __future__ import annotations

import numpy as np
import pytest

from training.layout import PITCH_SIZE, SPEAKERS, pitch_codes, pitch_steps, stretch_of
from training.synthesis import OUTPUT_RATE, UNIT_SAMPLES, render
from training.units import BANDS, COLUMNS, PITCH_STEP_HZ, Floats

TAIL = 1_024 * OUTPUT_RATE // 16_000  # samples that a pulse may ring on


def spoken(units: int, steps: int, *, voiced: bool = True) -> Floats:
    """Units of one vowel-like envelope."""
    envelope = np.tile(np.linspace(-4, -10, BANDS), (units, COLUMNS, 1))
    voicing = np.full((units, COLUMNS), float(voiced))
    return render(envelope, voicing, np.full(units, steps), 1.0)


@pytest.mark.parametrize("steps", [4, 5, 8])
def test_voiced_units_have_their_pitch(steps: int) -> None:
    samples = spoken(10, steps)
    assert samples.shape == (10 * UNIT_SAMPLES,)
    middle = samples[2 * UNIT_SAMPLES : 8 * UNIT_SAMPLES]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    step = len(middle) * PITCH_STEP_HZ // OUTPUT_RATE
    harmonics = [spectrum[number * steps * step] for number in (1, 2, 3)]
    between = [spectrum[number * steps * step + steps * step // 2] for number in (1, 2, 3)]
    assert min(harmonics) > 10 * max(between)


def test_unvoiced_units_have_no_pitch() -> None:
    noise, tone = spoken(10, 4, voiced=False), spoken(10, 4)
    assert np.std(noise) > 0
    assert np.abs(noise).max() / noise.std() < np.abs(tone).max() / tone.std()


def test_a_unit_sounds_alike_whatever_came_before() -> None:
    alone, after = spoken(4, 4), spoken(8, 4)
    begun = slice(TAIL, 4 * UNIT_SAMPLES - TAIL)
    later = slice(4 * UNIT_SAMPLES + begun.start, 4 * UNIT_SAMPLES + begun.stop)
    np.testing.assert_allclose(after[later], alone[begun], atol=1e-5 * np.abs(alone).max())


def test_higher_formants_move_the_sound_up() -> None:
    envelope = np.full((8, COLUMNS, BANDS), -14.0)
    envelope[..., 20] = -2.0

    def centre(stretch: float) -> float:
        samples = render(envelope, np.zeros((8, COLUMNS)), np.full(8, 4), stretch)
        power = np.abs(np.fft.rfft(samples)) ** 2
        return float(power @ np.fft.rfftfreq(len(samples), 1 / OUTPUT_RATE) / power.sum())

    assert centre(1.2) == pytest.approx(1.2 * centre(1.0), rel=0.05)


def test_each_pitch_has_a_code_that_tells_the_speaker() -> None:
    steps = np.array([step for speaker in SPEAKERS for step in speaker.steps])
    assert sorted(pitch_codes(steps)) == list(range(PITCH_SIZE))
    np.testing.assert_array_equal(pitch_steps(pitch_codes(steps)), steps)
    for speaker in SPEAKERS:
        assert stretch_of(speaker.steps_of(np.linspace(50, 400, 99))) == speaker.stretch
