"""The compiled kernels of a decoder layer, called with tensors."""

from __future__ import annotations

from ctypes import c_float, c_long, c_void_p
from dataclasses import dataclass

import torch
from torch import Tensor

from worker.engine.kernels.compiler import build, function, pointers
from worker.engine.kernels.int8_product import new_rounded
from worker.engine.nn.block import RMSNorm


@dataclass(frozen=True, eq=False)
class Tokens:
    """The place of each token: its `row` and `position` in the cache, both int64 [tokens].

    `cos` and `sin` [tokens, head size] are its rotary embedding, float32.
    """

    cos: Tensor
    sin: Tensor
    row: Tensor
    position: Tensor


class DecoderKernels:
    """The operations between the products of a decoder layer, for dense tensors on the CPU.

    With `is_rounded`, what a product reads is rounded rows (`kernels.int8_product`). May raise
    `CannotCompile`. `run_layers` is for `DecoderPass`.
    """

    def __init__(
        self, head: int, dtype: torch.dtype, cache_dtype: torch.dtype, *, is_rounded: bool
    ) -> None:
        read = torch.uint8 if is_rounded else dtype
        library = build("decoder", HEAD=head, ACTIVATION=dtype, READ=read, CACHE=cache_dtype)
        sizes, three, four = [c_long] * 2, [c_void_p] * 3, [c_void_p] * 4
        add_norm = (*sizes, *three, c_float, c_void_p)
        attend = (*three, c_float, *four, c_long, *three)
        self._add_rms_norm = function(library, "add_rms_norm", *add_norm)
        self._final_rms_norm = function(library, "final_rms_norm", *add_norm)
        self._silu_mul = function(library, "silu_mul", *sizes, *[c_void_p] * 2)
        self._attend = function(library, "attend", *sizes, c_long, *attend)
        self.run_layers = function(library, "run_layers", *[c_long] * 3, *[c_void_p] * 8)
        self._head, self._is_rounded = head, is_rounded

    def add_rms_norm(self, x: Tensor, add: Tensor | None, norm: RMSNorm) -> Tensor:
        """Add to `x` [rows, n] in place, and normalise the sum."""
        result = self._result(len(x), x.shape[1], x)
        self._add_rms_norm(*x.shape, *pointers(x, add, norm.weight), norm.eps, *pointers(result))
        return result

    def final_rms_norm(self, x: Tensor, add: Tensor | None, norm: RMSNorm) -> Tensor:
        """Add and normalise as `add_rms_norm`, for a result that no product reads."""
        result = torch.empty_like(x)
        self._final_rms_norm(*x.shape, *pointers(x, add, norm.weight), norm.eps, *pointers(result))
        return result

    def silu_mul(self, x: Tensor) -> Tensor:
        """`silu(gate) * up` of [rows, 2 n]: the gates, then what they let through."""
        rows, width = x.shape
        result = self._result(rows, width // 2, x)
        self._silu_mul(rows, width // 2, *pointers(x, result))
        return result

    def attend(
        self,
        x: Tensor,
        norms: tuple[RMSNorm, RMSNorm],
        tokens: Tokens,
        keys: Tensor,
        values: Tensor,
    ) -> Tensor:
        """Normalise and rotate queries and keys, write keys and values, and mix values.

        `x` is [tokens, (heads + 2 groups) * size], the cache [rows, groups, positions, size]; all
        tokens are written before the first looks back. The norms are the queries' and the keys',
        of one `eps`. Returns [tokens, heads * size].
        """
        count, width = x.shape
        groups, room = keys.shape[1:3]
        heads = width // self._head - 2 * groups
        result = self._result(count, heads * self._head, x)
        queries, own = norms
        self._attend(
            *(count, heads, groups),
            *pointers(x, queries.weight, own.weight),
            own.eps,
            *pointers(tokens.cos, tokens.sin, keys, values),
            room,
            *pointers(tokens.row, tokens.position, result),
        )
        return result

    def _result(self, rows: int, width: int, like: Tensor) -> Tensor:
        if self._is_rounded:
            return new_rounded(torch.Size((rows, width)), like)
        return like.new_empty(rows, width)
