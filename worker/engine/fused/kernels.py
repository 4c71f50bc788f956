"""The compiled kernels of a decoder layer, called with tensors."""

from __future__ import annotations

from ctypes import c_float, c_long, c_void_p
from dataclasses import dataclass

import torch
from torch import Tensor

from worker.engine.block import Norm
from worker.engine.fused.build import build, function, pointers
from worker.engine.fused.product import Whole

# What a product reads.
Operand = Tensor | Whole


@dataclass(frozen=True, eq=False)
class Tokens:
    """Where each token stands: its `row` and `position` in the cache, both int64 [tokens].

    `cos` and `sin` [tokens, head size] are its rotary embedding, float32.
    """

    cos: Tensor
    sin: Tensor
    row: Tensor
    position: Tensor


class Kernels:
    """What lies between the products of a decoder layer, for dense tensors on the CPU.

    With `whole`, what a product reads is rounded for int8. May raise `CannotCompile`.
    """

    def __init__(
        self, head: int, dtype: torch.dtype, cache_dtype: torch.dtype, *, whole: bool
    ) -> None:
        read = torch.uint8 if whole else dtype
        library = build("decoder", HEAD=head, ACTIVATION=dtype, READ=read, CACHE=cache_dtype)
        sizes, three, four = [c_long] * 2, [c_void_p] * 3, [c_void_p] * 4
        summed = (*sizes, *three, c_float, c_void_p)
        seen = (*three, c_float, *four, c_long, *four)
        self._norm = function(library, "norm", *summed, c_void_p)
        self._last_norm = function(library, "last_norm", *summed)
        self._gate = function(library, "gate", *sizes, *three)
        self._round = function(library, "round_rows", *sizes, *three)
        self._attend = function(library, "attend", *sizes, c_long, *seen)
        self._head, self._whole = head, whole

    def norm(self, x: Tensor, add: Tensor | None, norm: Norm) -> Operand:
        """Add to `x` [rows, n] in place, and normalise the sum."""
        result = self._result(len(x), x.shape[1], x)
        self._norm(*x.shape, *pointers(x, add, norm.weight), norm.eps, *_to(result))
        return result

    def last_norm(self, x: Tensor, add: Tensor | None, norm: Norm) -> Tensor:
        """The same for a result that no product of a layer reads."""
        result = torch.empty_like(x)
        self._last_norm(*x.shape, *pointers(x, add, norm.weight), norm.eps, *pointers(result))
        return result

    def gate(self, x: Tensor) -> Operand:
        """`silu(gate) * up` of [rows, 2 n]: the gates, then what they let through."""
        rows, width = x.shape
        result = self._result(rows, width // 2, x)
        self._gate(rows, width // 2, *pointers(x), *_to(result))
        return result

    def round(self, x: Tensor) -> Whole:
        """Rows [rows, n] as they are, as whole numbers."""
        x = x.contiguous()
        result = _whole(len(x), x.shape[1], x)
        self._round(*x.shape, *pointers(x, *result))
        return result

    def attend(
        self, x: Tensor, norms: tuple[Norm, Norm], tokens: Tokens, keys: Tensor, values: Tensor
    ) -> Operand:
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
            *pointers(tokens.row, tokens.position),
            *_to(result),
        )
        return result

    def _result(self, rows: int, width: int, like: Tensor) -> Operand:
        if not self._whole:
            return like.new_empty(rows, width)
        return _whole(rows, width, like)


def _whole(rows: int, width: int, like: Tensor) -> Whole:
    return Whole(like.new_empty(rows, width, dtype=torch.uint8), like.new_empty(rows))


def _to(operand: Operand) -> list[int | None]:
    return pointers(*operand) if isinstance(operand, Whole) else pointers(operand, None)
