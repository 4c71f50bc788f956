"""Keys and values of running requests, a row for each batch slot."""

from __future__ import annotations

import torch
from torch import Tensor

# Room is made and given up in steps of this many positions, 20 seconds of speech.
GROWTH_POSITIONS = 256


class KVCache:
    """`keys[layer]` and `values[layer]` [slots, heads, positions, size], for one layer each.

    The first n rows are in use, so that a batch is a view and nothing is copied in a step.
    Positions that were never written are zero. If `transposed`, the positions of values are side by
    side in memory. Room grows by `step` positions, in each layer for itself. `shape` is (slots,
    heads, size). `moves` counts how often a layer's tensors have been replaced by others.
    """

    def __init__(
        self,
        layers: int,
        shape: tuple[int, int, int],
        dtype: torch.dtype,
        device: torch.device,
        *,
        step: int,
        transposed: bool,
    ) -> None:
        self._shape, self._dtype, self._device = shape, dtype, device
        self._step, self._transposed = step, transposed
        self.moves = 0
        self.keys = [self._zeros(0) for _ in range(layers)]
        self.values = [self._zeros(0, transposed=transposed) for _ in range(layers)]

    @property
    def positions(self) -> int:
        """The number of positions that each row has room for."""
        return min(keys.shape[2] for keys in self.keys)

    def fit(
        self, positions: int, rows: int, most: int | None = None, *, shrinks: bool = True
    ) -> None:
        """Make room for `positions`, or give up more than twice that, in at most `most` layers.

        Keeps what is in the first `rows` rows. Making all layers anew takes as long as some frames.
        """
        room = -(-positions // self._step) * self._step
        rooms = [keys.shape[2] for keys in self.keys]
        unfit = [n for n, had in enumerate(rooms) if had < room or (shrinks and had > 2 * room)]
        for layer in unfit[:most]:
            for tensors, transposed in ((self.keys, False), (self.values, self._transposed)):
                old, new = tensors[layer], self._zeros(room, transposed=transposed)
                kept = min(room, old.shape[2])
                new[:rows, :, :kept] = old[:rows, :, :kept]
                tensors[layer] = new
            self.moves += 1

    def clear(self, row: int) -> None:
        """Fill a row with zeros."""
        for tensor in (*self.keys, *self.values):
            tensor[row] = 0

    def move(self, source: int, target: int, positions: int) -> None:
        """Copy the first `positions` of one row over another."""
        for tensor in (*self.keys, *self.values):
            tensor[target, :, :positions] = tensor[source, :, :positions]

    def _zeros(self, positions: int, *, transposed: bool = False) -> Tensor:
        slots, heads, size = self._shape
        sides = (size, positions) if transposed else (positions, size)
        zeros = torch.zeros(slots, heads, *sides, dtype=self._dtype, device=self._device)
        return zeros.transpose(2, 3) if transposed else zeros
