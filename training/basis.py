"""The linear basis of speech that the vocoder begins with.

Since a unit always sounds alike, 20 ms of sound lie close to 128 directions, which hold 98 % of
their energy. They become the first filter of the decoder; its layers at 50 Hz then only have to
learn 128 numbers for each 20 ms, which is a regression and a hundred times cheaper than sound.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

BLOCK = 480  # samples: 20 ms
EMPHASIS = 0.9
QUIET = 2e-3  # the level below which errors of a block count no more than at it

_SCALE = 0.3  # of the numbers' first size
_FIT_BLOCKS = 80_000


@dataclass(frozen=True)
class Basis:
    """Directions of emphasised blocks, `directions` [BLOCK, n], and the size of each, [n]."""

    directions: Tensor
    sizes: Tensor

    def filters(self) -> Tensor:
        """The sound [2 * BLOCK, n] that each direction of size 1 makes, without emphasis.

        The emphasis y[t] = x[t] - 0.9 x[t - 1] is undone by x[t] = y[t] + 0.9 x[t - 1], which rings
        on into the next block.
        """
        sound = np.zeros((2 * BLOCK, len(self.sizes)))
        sound[:BLOCK] = self.directions.numpy()
        for place in range(1, 2 * BLOCK):
            sound[place] += EMPHASIS * sound[place - 1]
        return torch.from_numpy(sound).float() * self.sizes


def emphasised(samples: Tensor) -> Tensor:
    """Blocks [rows, n, BLOCK] of samples [rows, 1 + n * BLOCK], whose first is heard before."""
    return (samples[:, 1:] - EMPHASIS * samples[:, :-1]).view(len(samples), -1, BLOCK)


def loudness(blocks: Tensor) -> Tensor:
    """The mean square of each block [..., BLOCK], of silence too: [..., 1]."""
    return blocks.square().mean(-1, keepdim=True) + QUIET**2


def fit(samples: NDArray[np.int16], count: int) -> Basis:
    """The `count` directions that hold the most of blocks that are made equally loud."""
    taken = torch.from_numpy(samples[: 1 + _FIT_BLOCKS * BLOCK].astype(np.float32) / 32_768)
    blocks = emphasised(taken[None, : 1 + (len(taken) - 1) // BLOCK * BLOCK])[0]
    equal = blocks / loudness(blocks).sqrt()
    energies, directions = torch.linalg.eigh(equal.T @ equal / len(equal))
    energies, directions = energies.flip(0)[:count], directions.flip(1)[:, :count]
    print(f"{count} directions hold {float(energies.sum() / equal.square().sum(1).mean()):.3f}")
    level = blocks.square().mean().sqrt()
    return Basis(directions.contiguous(), energies.sqrt() * level * _SCALE)
