"""Keys and values of running requests, a row for each batch slot."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class KVCache:
    """`keys` and `values` [layers, slots, heads, positions, head size].

    The first n rows are in use, so that a batch is a view and nothing is copied in a step.
    """

    keys: Tensor
    values: Tensor

    @classmethod
    def allocate(
        cls, layers: int, slots: int, heads: int, positions: int, head_dim: int, like: Tensor
    ) -> KVCache:
        """An empty cache in the dtype and on the device of `like`."""
        shape = (layers, slots, heads, positions, head_dim)
        return cls(*(torch.zeros(shape, dtype=like.dtype, device=like.device) for _ in range(2)))

    @property
    def positions(self) -> int:
        """How many positions each row has room for."""
        return self.keys.shape[3]

    def grown(self, positions: int, rows: int) -> KVCache:
        """A cache with room for `positions`, with the contents of the first `rows` rows."""
        layers, slots, heads, old, size = self.keys.shape
        cache = KVCache.allocate(layers, slots, heads, positions, size, self.keys)
        for new, full in ((cache.keys, self.keys), (cache.values, self.values)):
            new[:, :rows, :, :old] = full[:, :rows]
        return cache

    def clear(self, row: int) -> None:
        """Fill a row with zeros."""
        self.keys[:, row] = 0
        self.values[:, row] = 0

    def move(self, source: int, target: int, positions: int) -> None:
        """Copy the first `positions` of one row over another."""
        for cache in (self.keys, self.values):
            cache[:, target, :, :positions] = cache[:, source, :, :positions]
