"""The compiled kernels, called with tensors."""

from __future__ import annotations

from ctypes import c_float, c_long, c_void_p
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from worker.engine.decoder import Norm
from worker.engine.fused.build import build


class Scaled(NamedTuple):
    """Rows [rows, n] to be multiplied by `scale` [rows], where that is given."""

    values: Tensor
    scale: Tensor | None


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

    With `scaled`, each row of a result is divided by its largest magnitude. May raise
    `CannotCompile`.
    """

    def __init__(
        self, head: int, dtype: torch.dtype, cache_dtype: torch.dtype, *, scaled: bool
    ) -> None:
        library = build("decoder", HEAD=head, ACTIVATION=dtype, CACHE=cache_dtype)
        self._norm, self._gate, self._attend = library.norm, library.gate, library.attend
        tensors = [c_void_p] * 4
        self._norm.argtypes = [c_long, c_long, *tensors, c_float, c_void_p, c_void_p]
        self._gate.argtypes = [c_long, c_long, *tensors]
        self._attend.argtypes = [*[c_long] * 3, *tensors, c_float, *tensors, c_long, *tensors]
        self._head, self._scaled = head, scaled

    def norm(self, x: Tensor, add: Scaled | None, norm: Norm) -> Scaled:
        """Add to `x` [rows, n] in place, and normalise the sum."""
        result = self._result(len(x), x)
        added = (None, None) if add is None else (_at(add.values), _at(add.scale))
        self._norm(*x.shape, _at(x), *added, _at(norm.weight), norm.eps, *map(_at, result))
        return result

    def gate(self, x: Scaled) -> Scaled:
        """`silu(gate) * up` of [rows, 2 n]: the gates, then what they let through."""
        rows, width = x.values.shape
        result = self._result(rows, x.values, width // 2)
        self._gate(rows, width // 2, *map(_at, (*x, *result)))
        return result

    def attend(
        self,
        x: Scaled,
        norms: tuple[Norm, Norm],
        tokens: Tokens,
        keys: Tensor,
        values: Tensor,
    ) -> Scaled:
        """Normalise and rotate queries and keys, write keys and values, and mix values.

        `x` is [tokens, (heads + 2 groups) * size], the cache [rows, groups, positions, size]; all
        tokens are written before the first looks back. Returns [tokens, heads * size].
        """
        count, width = x.values.shape
        groups, room = keys.shape[1:3]
        heads = width // self._head - 2 * groups
        result = self._result(count, x.values, heads * self._head)
        queries, own = norms
        self._attend(
            *(count, heads, groups, *map(_at, x)),
            *(_at(queries.weight), _at(own.weight), own.eps, _at(tokens.cos), _at(tokens.sin)),
            *(_at(keys), _at(values), room, _at(tokens.row), _at(tokens.position)),
            *map(_at, result),
        )
        return result

    def _result(self, rows: int, like: Tensor, width: int | None = None) -> Scaled:
        values = like.new_empty(rows, width or like.shape[1])
        return Scaled(values, values.new_empty(rows, dtype=torch.float32) if self._scaled else None)


def _at(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()
