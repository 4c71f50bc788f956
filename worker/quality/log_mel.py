"""The distance of two sounds on the mel scale, as an ear divides their frequencies."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers.audio_utils import mel_filter_bank

from shared.speech_model import SAMPLE_RATE

WINDOW, HOP = 1_024, 256  # 43 ms, 11 ms
MEL_BANDS = 80
# What is quieter than this is silence: 16 bits end at -96 dB.
FLOOR_DB = -80.0


def log_mel_distance(expected: NDArray[np.float32], found: NDArray[np.float32]) -> float:
    """The mean difference of two sounds' log-mel spectrograms in dB, over all times and bands.

    Both are samples [n] at 24 kHz, aligned in time. Two unlike sentences are some 10 dB apart.
    """
    return float((_log_mel(expected) - _log_mel(found)).abs().mean())


def _log_mel(samples: NDArray[np.float32]) -> Tensor:
    """The spectrogram in dB of full scale, [bands, times]."""
    filters = mel_filter_bank(
        num_frequency_bins=WINDOW // 2 + 1,
        num_mel_filters=MEL_BANDS,
        min_frequency=0.0,
        max_frequency=SAMPLE_RATE / 2,
        sampling_rate=SAMPLE_RATE,
        mel_scale="slaney",
    )
    window = torch.hann_window(WINDOW)
    spectrum = torch.stft(
        torch.from_numpy(samples), WINDOW, HOP, window=window, return_complex=True
    )
    power = torch.from_numpy(filters).float().T @ (spectrum.abs() / window.sum()).square()
    return 10 * power.clamp_min(10 ** (FLOOR_DB / 10)).log10()
