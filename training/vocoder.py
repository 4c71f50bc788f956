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

from training import codes as codebooks
from training.basis import BLOCK, Basis, emphasised, fit, loudness
from training.codec_model import DIRECTIONS, coefficients, new_decoder, waveform
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
from training.shards import read, shards
from training.synthesis import FRAME_SAMPLES, render
from training.units import UNITS_PER_FRAME, Ints, Speech

FRONT_STEPS, FRONT_RATE = 6_000, 2e-3
STEPS, RATE = 15_000, 1e-3
SOUND_SHARDS = 4  # whose sound is rendered, each text by one speaker
FRONT_ROWS, FRONT_FRAMES = 16, 12
ROWS, FRAMES = 4, 8
BEGINNING_ROWS = 1  # of them: first frames of utterances, which have nothing before them
CONTEXT_FRAMES = 2  # of each other row: heard but not judged
SEED = 0

_FFT_SIZES = (2_048, 512, 128)
_QUIET = 3e-3  # below this magnitude a spectrum is as good as silent
_WAVE_WEIGHT = 1.0
_MATRIX_RATE = 2.5  # Muon's steps, times Adam's
_OUTPUT = "decoder.6."  # the last layer is no place for equal singular values


@dataclass(frozen=True)
class Sound:
    """Speech end to end: codes int64 [frames, GROUPS] and int16 samples [frames * 1920].

    `beginnings` are the first frames of its utterances.
    """

    codes: Ints
    samples: NDArray[np.int16]
    beginnings: Ints


def main() -> None:
    """Train the layers at 50 Hz, then all; or go on doing so."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--front-steps", type=int, default=FRONT_STEPS)
    parser.add_argument("--steps", type=int, default=STEPS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    sound = _sound(args.folder)
    basis = fit(sound.samples, DIRECTIONS)
    decoder = new_decoder(codebooks.load(args.folder), basis)

    front = _trainer(args.folder / "front.pt", decoder, args.front_steps, FRONT_RATE)
    for step in front.steps():
        codes, samples = _batch(sound, FRONT_ROWS, FRONT_FRAMES, step, beginnings=0)
        loss = unexplained(coefficients(decoder, codes), samples, basis)
        front.update(loss, {"unexplained": loss})

    whole = _trainer(args.folder / "vocoder.pt", decoder, args.steps, RATE)
    for step in whole.steps():
        codes, samples = _batch(sound, ROWS, FRAMES, step, BEGINNING_ROWS)
        made, target = waveform(decoder, codes), samples[:, 1:]
        skip = CONTEXT_FRAMES * FRAME_SAMPLES
        first = distance(made[:BEGINNING_ROWS], target[:BEGINNING_ROWS])
        later = distance(made[BEGINNING_ROWS:, skip:], target[BEGINNING_ROWS:, skip:])
        loss = (BEGINNING_ROWS * first + (ROWS - BEGINNING_ROWS) * later) / ROWS
        whole.update(loss, {"distance": loss})


def unexplained(found: Tensor, samples: Tensor, basis: Basis) -> Tensor:
    """The share of the blocks' energy that these coefficients miss, each made equally loud."""
    skip = CONTEXT_FRAMES * FRAME_SAMPLES // BLOCK
    blocks = emphasised(samples)[:, skip:]
    loud = loudness(blocks)
    missed = blocks @ basis.directions - found[:, skip:] * basis.sizes
    inside = (missed.square() / loud).sum()
    outside = ((blocks - blocks @ basis.directions @ basis.directions.T).square() / loud).sum()
    return (inside + outside) / (blocks.square() / loud).sum()


def _trainer(path: Path, decoder: nn.Module, steps: int, rate: float) -> Trainer:
    """The run of that file, gone on from where it is."""
    matrices, others = _by_optimizer(decoder)
    optimizers = [
        Muon([{"params": matrices, "rate_scale": _MATRIX_RATE}], rate),
        torch.optim.AdamW(others, rate, betas=(0.8, 0.98), weight_decay=0.0),
    ]
    trainer = Trainer(path, decoder, optimizers, Schedule(steps, rate))
    trainer.resume()
    return trainer


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
        beginnings = np.cumsum([0, *(len(one) for one in codes[:-1])])
        whole = Sound(np.concatenate(codes), np.concatenate(samples), beginnings)
        np.savez(path, **vars(whole))
    with np.load(path) as file:
        return Sound(**file)


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


def _batch(
    sound: Sound, rows: int, frames: int, step: int, beginnings: int
) -> tuple[Tensor, Tensor]:
    """Codes [rows, GROUPS, frames] and their samples, after the one before them.

    The first rows are `beginnings` of utterances.
    """
    rng = np.random.default_rng([SEED, step])
    starts = rng.integers(1, len(sound.codes) - frames, rows)
    starts[:beginnings] = rng.choice(sound.beginnings[1:-1], beginnings)
    codes = np.stack([sound.codes[start : start + frames] for start in starts])
    samples = [
        sound.samples[start * FRAME_SAMPLES - 1 : (start + frames) * FRAME_SAMPLES]
        for start in starts
    ]
    wave = torch.from_numpy(np.stack(samples).astype(np.float32) / 32_768)
    return torch.from_numpy(codes).transpose(1, 2), wave


if __name__ == "__main__":
    main()
