"""Attention over a window, compiled."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ctypes import c_long, c_void_p

import torch
from torch import Tensor

from worker.engine.codec.window import WindowAttention
from worker.engine.kernels.compiler import build, function, pointers


class FusedWindowAttention(WindowAttention):
    """A `WindowAttention` on the CPU in float32; may raise `CannotCompile`.

    A stream's result is the same in any company, and however it is cut, bit by bit.
    """

    def __init__(self, heads: int, size: int, past: int) -> None:
        super().__init__(heads, size, past)
        library = build("window", HEAD=size)
        self._attend = function(library, "attend_window", *[c_long] * 4, *[c_void_p] * 7)

    def __call__(
        self,
        x: Tensor,
        cos_sin: tuple[Tensor, Tensor],
        positions: Tensor,
        pasts: Sequence[Tensor | None],
    ) -> tuple[Tensor, Iterable[Tensor]]:
        """Mix as `WindowAttention`; a stream has no more keys and values than positions."""
        rows, frames, width = x.shape
        counts = positions[:, 0].clamp(max=self._past)
        kept = (counts + frames).clamp(max=self._past).tolist()
        ends = [x.new_empty(2, self._heads, count, self._size) for count in kept]
        result = x.new_empty(rows, frames, width // 3)
        olds = torch.tensor([address or 0 for address in pointers(*pasts)])
        news = torch.tensor(pointers(*ends))
        given = pointers(x, *cos_sin, olds, counts, news, result)
        self._attend(rows, frames, self._heads, self._past, *given)
        return result, ends
