"""`python -m training.vocoder FOLDER`: train the codec's decoder to speak the codes.

Its target is the sound that `synthesis` makes of the speech before quantisation, sample by sample:
the sound follows from the codes, so that there is no phase to guess and no discriminator to train.
`FOLDER/vocoder.pt` is written every few minutes; the same command goes on from it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.codec_model import new_decoder, waveform
from training.corpus import read, shards
from training.layout import (
    FIRST_DETAIL,
    FIRST_UNIT,
    GROUPS,
    PITCH,
    SECOND_DETAIL,
    SECOND_UNIT,
    SPEAKERS,
    Speaker,
    pitch_codes,
)
from training.muon import Muon
from training.progress import Schedule, Trainer
from training.synthesis import FRAME_SAMPLES, render
from training.units import UNITS_PER_FRAME, Ints, Speech

STEPS = 6_000
SOUND_SHARDS = 4  # whose sound is rendered, once for each speaker
ROWS, FRAMES, CONTEXT_FRAMES = 4, 8, 2  # of a step; the context is heard but not judged
PEAK_RATE = 2e-3
SEED = 0

_FFT_SIZES = (2_048, 512, 128)
_QUIET = 3e-3  # below this magnitude a spectrum is as good as silent
_WAVE_WEIGHT = 1.0
_MATRIX_RATE = 2.5  # Muon's steps, times Adam's
_OUTPUT = "decoder.6."  # the last layer is no place for equal singular values


@dataclass(frozen=True)
class Sound:
    """Speech end to end: codes int64 [frames, GROUPS] and int16 samples [frames * 1920]."""

    codes: Ints
    samples: NDArray[np.int16]


def main() -> None:
    """Train for `--steps` steps, or go on doing so."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=STEPS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    sound = _sound(args.folder)
    decoder = new_decoder()
    matrices, others = _by_optimizer(decoder)
    optimizers = [
        Muon([{"params": matrices, "rate_scale": _MATRIX_RATE}], PEAK_RATE),
        torch.optim.AdamW(others, PEAK_RATE, betas=(0.8, 0.98), weight_decay=0.0),
    ]
    trainer = Trainer(
        args.folder / "vocoder.pt", decoder, optimizers, Schedule(args.steps, PEAK_RATE)
    )
    trainer.resume()
    for step in trainer.steps():
        codes, target = _batch(sound, np.random.default_rng([SEED, step]))
        loss = distance(waveform(decoder, codes), target)
        trainer.update(loss, {"loss": loss})


def _by_optimizer(decoder: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """The trained matrices and filters, and what else is trained."""
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, weight in decoder.named_parameters():
        is_matrix = weight.dim() >= 2 and weight.shape[1] > 1 and "codebook" not in name
        if weight.requires_grad:
            (matrices if is_matrix and _OUTPUT not in name else others).append(weight)
    return matrices, others


def distance(made: Tensor, target: Tensor) -> Tensor:
    """The difference of spectra: logarithmic, which hears quiet sounds, and of the waves."""
    skip = CONTEXT_FRAMES * FRAME_SAMPLES
    made, target = made[:, skip:], target[:, skip:]
    total = made.new_zeros(())
    for size in _FFT_SIZES:
        x, y = _spectrum(made, size), _spectrum(target, size)
        loud = y.abs()
        logs = torch.log((x.abs() + _QUIET) / (loud + _QUIET)).abs().mean()
        waves = torch.view_as_real(x - y).abs().sum() / (loud.sum() + 1e-3)
        total = total + logs + _WAVE_WEIGHT * waves
    return total / len(_FFT_SIZES)


def _spectrum(samples: Tensor, size: int) -> Tensor:
    window = torch.hann_window(size)
    scale = window.square().sum().sqrt()
    spectrum = torch.stft(
        samples, size, size // 4, window=window, center=False, return_complex=True
    )
    # The magnitude's gradient at zero is undefined.
    return spectrum / scale + 1e-7


def frame_codes(first: Ints, detail: Ints, steps: Ints) -> Ints:
    """Codes [frames, GROUPS] of the units' codes and the frames' pitches, with no pointer yet."""
    codes = np.zeros((len(steps), GROUPS), np.int64)
    codes[:, FIRST_UNIT], codes[:, SECOND_UNIT] = first[::2], first[1::2]
    codes[:, FIRST_DETAIL], codes[:, SECOND_DETAIL] = detail[::2], detail[1::2]
    codes[:, PITCH] = pitch_codes(steps)
    return codes


def frame_steps(speech: Speech, speaker: Speaker) -> Ints:
    """The pitch of each frame in steps."""
    return speaker.steps_of(speech.pitch.reshape(-1, UNITS_PER_FRAME).mean(1))


def _sound(folder: Path) -> Sound:
    """The codes and sound of the first shards, rendered once; each text by one speaker."""
    path = folder / "sound.npz"
    if not path.exists():
        codes, samples = zip(*_rendered(folder), strict=True)
        np.savez(path, codes=np.concatenate(codes), samples=np.concatenate(samples))
    with np.load(path) as file:
        return Sound(file["codes"], file["samples"])


def _rendered(folder: Path) -> Iterator[tuple[Ints, NDArray[np.int16]]]:
    for shard in shards(folder)[:SOUND_SHARDS]:
        with np.load(folder / "codes" / shard.name) as file:
            first, detail = file["first"], file["detail"]
        start = 0
        for number, utterance in enumerate(read(shard)):
            speech, speaker = utterance.speech, SPEAKERS[number % len(SPEAKERS)]
            units = slice(start, start + len(speech.pitch))
            start = units.stop
            steps = frame_steps(speech, speaker)
            pitch = np.repeat(steps, UNITS_PER_FRAME)
            samples = render(speech.envelope, speech.voiced, pitch, speaker.stretch)
            whole = (samples * 32_767).clip(-32_767, 32_767).astype(np.int16)
            yield frame_codes(first[units], detail[units], steps), whole
        print(f"sound of shard {shard.stem}", flush=True)


def _batch(sound: Sound, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Codes [ROWS, GROUPS, FRAMES] and samples [ROWS, FRAMES * 1920]."""
    starts = rng.integers(0, len(sound.codes) - FRAMES, ROWS)
    codes = np.stack([sound.codes[start : start + FRAMES] for start in starts])
    samples = [
        sound.samples[start * FRAME_SAMPLES : (start + FRAMES) * FRAME_SAMPLES] for start in starts
    ]
    wave = torch.from_numpy(np.stack(samples).astype(np.float32) / 32_768)
    return torch.from_numpy(codes).transpose(1, 2), wave


if __name__ == "__main__":
    main()
