"""Keys and values of running requests, a row for each batch slot."""

from __future__ import annotations

import torch
from torch import Tensor

# Room is made and given up in steps of this many positions, 20 seconds of speech: making it anew
# takes as long as a few frames do.
STEP = 256


class KVCache:
    """`keys[layer]` and `values[layer]` [slots, heads, positions, size].

    The first n rows are in use, so that a batch is a view and nothing is copied in a step. What
    nobody has written is zero. A `long` cache has the positions of its values side by side in
    memory: both products of attention can then have the cache on their left. On a CPU that is three
    times as fast as with the few queries of a head there, but slower for 16 positions.
    """

    def __init__(
        self,
        layers: int,
        slots: int,
        heads: int,
        size: int,
        dtype: torch.dtype,
        device: torch.device,
        *,
        long: bool,
    ) -> None:
        self._dtype, self._device, self._long = dtype, device, long
        self.keys = [self._zeros(slots, heads, 0, size) for _ in range(layers)]
        self.values = [self._values(slots, heads, 0, size) for _ in range(layers)]

    @property
    def positions(self) -> int:
        """How many positions each row has room for."""
        return self.keys[0].shape[2]

    def fit(self, positions: int, rows: int) -> None:
        """Make room for `positions`, or give room up; keeps what is in the first `rows` rows.

        Layer by layer, so that hardly more memory is needed than before and after.
        """
        room = -(-positions // STEP) * STEP if self._long else positions
        if room == self.positions or room < self.positions < 2 * room:
            return
        kept = min(room, self.positions)
        for layer, old in enumerate(self.keys):
            slots, heads, _, size = old.shape
            self.keys[layer] = self._zeros(slots, heads, room, size)
            self.keys[layer][:rows, :, :kept] = old[:rows, :, :kept]
        for layer, old in enumerate(self.values):
            self.values[layer] = self._values(slots, heads, room, size)
            self.values[layer][:rows, :, :kept] = old[:rows, :, :kept]

    def clear(self, row: int) -> None:
        """Fill a row with zeros."""
        for tensor in (*self.keys, *self.values):
            tensor[row] = 0

    def move(self, source: int, target: int, positions: int) -> None:
        """Copy the first `positions` of one row over another."""
        for keys, values in zip(self.keys, self.values, strict=True):
            keys[target, :, :positions] = keys[source, :, :positions]
            values[target, :, :positions] = values[source, :, :positions]

    def _values(self, slots: int, heads: int, positions: int, size: int) -> Tensor:
        if not self._long:
            return self._zeros(slots, heads, positions, size)
        return self._zeros(slots, heads, size, positions).transpose(2, 3)

    def _zeros(self, *shape: int) -> Tensor:
        return torch.zeros(shape, dtype=self._dtype, device=self._device)
