from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from worker.quality.log_mel import log_mel_distance


def noise(seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 0.1, 24_000).astype(np.float32)


def test_equal_sounds_have_no_distance() -> None:
    assert log_mel_distance(noise(0), noise(0)) == 0


def test_half_the_amplitude_is_6_db_in_every_band() -> None:
    assert abs(log_mel_distance(noise(0), noise(0) / 2) - 6.02) < 0.01


def test_what_is_quieter_than_the_floor_is_silence() -> None:
    assert log_mel_distance(np.zeros(24_000, np.float32), noise(0) * 1e-6) == 0


def test_a_sound_is_nearer_to_itself_with_a_little_noise_than_to_another() -> None:
    near, far = noise(0) + 0.03 * noise(1), noise(1)
    assert 0 < log_mel_distance(noise(0), near) < log_mel_distance(noise(0), far) / 4
