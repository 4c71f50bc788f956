"""Muon in float32: momentum whose matrices are made orthogonal, in steps of Adam's size.

torch.optim.Muon orthogonalises in bfloat16, which CPUs without such units only emulate: it took
half of a step's time. Source: Jordan et al., "Muon: An optimizer for hidden layers" (2024), with
the scale of Liu et al., "Muon is scalable for LLM training" (2025).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

_MOMENTUM = 0.95
_DECAY = 0.02
_ITERATIONS = 3
_POLYNOMIAL = (3.4445, -4.7750, 2.0315)


class Muon(torch.optim.Optimizer):
    """The optimizer of matrices and filters [out, in, n]; those of one shape go together."""

    def __init__(self, matrices: Iterable[Any], rate: float) -> None:
        super().__init__(matrices, {"lr": rate})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Step along the gradients."""
        del closure
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for matrix in group["params"]:
                if matrix.grad is not None:
                    by_shape[matrix.flatten(1).shape].append(matrix)
            for shape, matrices in by_shape.items():
                rate = group["lr"] * 0.2 * math.sqrt(max(shape))
                momenta = [self._momentum(one).flatten(1) for one in matrices]
                updates = orthogonal(torch.stack(momenta))
                for matrix, update in zip(matrices, updates, strict=True):
                    matrix.mul_(1 - group["lr"] * _DECAY).sub_(update.view_as(matrix), alpha=rate)

    def _momentum(self, matrix: Tensor) -> Tensor:
        assert matrix.grad is not None
        mean: Tensor = self.state[matrix].setdefault("mean", torch.zeros_like(matrix))
        mean.lerp_(matrix.grad, 1 - _MOMENTUM)
        update: Tensor = matrix.grad.lerp(mean, _MOMENTUM)
        return update


def orthogonal(matrices: Tensor) -> Tensor:
    """Matrices [n, rows, columns] with all singular values near 1, by Newton and Schulz."""
    first, second, third = _POLYNOMIAL
    is_tall = matrices.shape[1] > matrices.shape[2]
    x: Tensor = matrices.transpose(1, 2) if is_tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(_ITERATIONS):
        square = x @ x.transpose(1, 2)
        x = first * x + (second * square + third * square @ square) @ x
    return x.transpose(1, 2) if is_tall else x
