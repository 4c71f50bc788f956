"""Draws codes for a whole batch, each row with its own parameters and random stream.

The order is that of the transformers processors: repetition penalty, temperature, top-k, top-p.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


@dataclass(frozen=True)
class SamplingParams:
    """The sampling parameters of one row; `greedy` ignores the others."""

    greedy: bool
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0


class SamplingBranches(NamedTuple):
    """The operations that draw for all rows, beside the parameters of each."""

    all_greedy: bool
    max_top_k: int
    has_nucleus: bool

    def rounded(self) -> SamplingBranches:
        """Operations that draw the same codes and serve more parameters."""
        if self.all_greedy:
            return SamplingBranches(all_greedy=True, max_top_k=0, has_nucleus=False)
        # The next power of two: all that counts is that no row's top_k is higher.
        top_k = 1 << (self.max_top_k - 1).bit_length() if self.max_top_k else 0
        return self._replace(max_top_k=top_k)


class BatchSampler:
    """The sampling parameters of all rows as tensors [rows, 1], made anew when the rows change."""

    def __init__(self, rows: list[SamplingParams], device: torch.device) -> None:
        def column(values: list[float]) -> Tensor:
            return torch.tensor(values, device=device)[:, None]

        self._greedy = torch.tensor([row.greedy for row in rows], device=device)
        self._temperature = column([row.temperature for row in rows])
        self._top_k = torch.tensor([row.top_k for row in rows], device=device)[:, None]
        self._top_p = column([row.top_p for row in rows])
        self.branches = SamplingBranches(
            all_greedy=all(row.greedy for row in rows),
            max_top_k=max((row.top_k for row in rows), default=0),
            has_nucleus=any(row.top_p < 1 and not row.greedy for row in rows),
        )

    @classmethod
    def from_tensors(cls, branches: SamplingBranches, *tensors: Tensor) -> BatchSampler:
        """A sampler of the parameters that another one has as its `tensors`."""
        sampler = cls.__new__(cls)
        sampler.branches = branches
        sampler._greedy, sampler._temperature, sampler._top_k, sampler._top_p = tensors
        return sampler

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The parameters, each of them [rows] or [rows, 1]."""
        return self._greedy, self._temperature, self._top_k, self._top_p

    def draw(self, logits: Tensor, uniform: Tensor) -> Tensor:
        """Choose a code [rows] from logits [rows, codes], by one number in [0, 1) for each row."""
        best = logits.argmax(-1)
        if self.branches.all_greedy:
            return best
        cumulative = self.probabilities(logits).cumsum(-1)
        # The sum may miss 1 by rounding; scaled, the draw stays inside it.
        drawn = torch.searchsorted(cumulative, uniform[:, None] * cumulative[:, -1:], right=True)
        return torch.where(self._greedy, best, drawn[:, 0].clamp(max=logits.shape[-1] - 1))

    def probabilities(self, logits: Tensor) -> Tensor:
        """The distribution [rows, codes] that sampling rows draw from, float32."""
        scores = logits.float() / self._temperature
        if self.branches.max_top_k:
            count = self._top_k.clamp(max=scores.shape[-1])
            best = scores.topk(min(self.branches.max_top_k, scores.shape[-1])).values
            worst = best.gather(-1, (count - 1).clamp(min=0))
            scores = scores.masked_fill((scores < worst) & (count > 0), -torch.inf)
        return (self._keep_nucleus(scores) if self.branches.has_nucleus else scores).softmax(-1)

    def _keep_nucleus(self, scores: Tensor) -> Tensor:
        """Drop the least likely codes whose probabilities sum up to at most 1 - top_p."""
        ordered, order = scores.sort(-1)
        drop = ordered.softmax(-1).cumsum(-1) <= 1 - self._top_p
        drop[:, -1] = False
        drop &= self._top_p < 1
        return scores.masked_fill(drop.scatter(-1, order, drop), -torch.inf)


def penalise(logits: Tensor, seen: Tensor, penalty: Tensor) -> Tensor:
    """Make the codes marked in `seen` [rows, codes] less likely by `penalty` [rows, 1]."""
    weaker = torch.where(logits < 0, logits * penalty, logits / penalty)
    return torch.where(seen, weaker, logits)
