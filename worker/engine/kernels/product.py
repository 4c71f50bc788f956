"""int8 products, compiled."""

from __future__ import annotations

from collections.abc import Callable
from ctypes import c_long, c_void_p
from typing import Any, NamedTuple

import torch
from torch import Tensor

from worker.engine.kernels.compiler import build, function, pointers
from worker.engine.nn.linear import quantise

# Outputs that lie side by side, and inputs that are multiplied at once.
PANEL, DOT_INPUTS = 16, 4


class QuantizedRows(NamedTuple):
    """Rows as whole numbers: `values` uint8 [rows, n], less 128 and times `scale` [rows]."""

    values: Tensor
    scale: Tensor


def compile_int8_product(**defined: int) -> Callable[..., None]:
    """Compile the product; raises `CannotCompile`."""
    return function(build("product", **defined), "product", *[c_long] * 3, *[c_void_p] * 6)


class CompiledInt8Linear:
    """`x @ weight.T` of one or several `nn.Linear` modules without biases, side by side.

    Gives the numbers of `Int8Linear`, for quantised rows. Outputs are a multiple of `PANEL`,
    inputs of `DOT_INPUTS`. May raise `CannotCompile`.
    """

    def __init__(self, *modules: Any) -> None:
        whole, self._scale = quantise(torch.cat([module.weight.detach() for module in modules]))
        self._shape = (outputs, inputs) = whole.shape
        panels = whole.view(outputs // PANEL, PANEL, inputs // DOT_INPUTS, DOT_INPUTS)
        self._weight = panels.transpose(1, 2).contiguous()
        self._offset = whole.sum(1, dtype=torch.int32) * 128
        self._product = compile_int8_product()

    def __call__(self, x: QuantizedRows) -> Tensor:
        """Multiply [rows, in] to float32 [rows, out]."""
        result = x.scale.new_empty(len(x.scale), self._shape[0])
        tensors = pointers(*x, self._weight, self._scale, self._offset, result)
        self._product(len(result), *self._shape, *tensors)
        return result
