"""Attention of each position to a window of those before it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from worker.engine.nn.block import apply_rotary


class WindowAttention:
    """Attention to a position and `past` before it."""

    def __init__(self, heads: int, size: int, past: int) -> None:
        self._heads, self._size, self._past = heads, size, past

    def __call__(
        self,
        x: Tensor,
        cos_sin: tuple[Tensor, Tensor],
        positions: Tensor,
        pasts: Sequence[Tensor | None],
    ) -> tuple[Tensor, Iterable[Tensor]]:
        """Mix the values at new `positions` [rows, frames] of some streams.

        `x` is [rows, frames, 3 * heads * size]: queries, keys and values. `pasts` is what this
        returned for the frames before. Returns [rows, frames, heads * size], and what the next
        frames of each stream go on from.
        """
        rows, frames, _ = x.shape
        heads = x.view(rows, frames, 3, self._heads, -1).permute(2, 0, 3, 1, 4)
        query, key = apply_rotary(heads[0], *cos_sin), apply_rotary(heads[1], *cos_sin)
        nothing = x.new_zeros(2, self._heads, self._past, self._size)
        before = torch.stack([nothing if past is None else past for past in pasts])
        whole = torch.cat([before, torch.stack([key, heads[2]], dim=1)], dim=3)
        # The keys of each frame, [rows, 1, past + frames]: none before the first.
        past = torch.arange(-self._past, 0, device=x.device) + positions[:, :1]
        keys = torch.cat([past, positions], dim=1)[:, None]
        distance = positions[:, :, None] - keys
        mask = ((keys >= 0) & (distance >= 0) & (distance <= self._past))[:, None]
        mixed = F.scaled_dot_product_attention(query, whole[:, 0], whole[:, 1], attn_mask=mask)
        return mixed.transpose(1, 2).reshape(rows, frames, -1), whole[..., -self._past :, :].clone()
