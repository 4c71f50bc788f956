"""Products in float32 whose weights are kept in bfloat16, compiled."""

from __future__ import annotations

from collections.abc import Callable
from ctypes import c_long, c_void_p
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from worker.engine.kernels.compiler import PANEL, build, function, padded, pointers


def compile_float_product(weight_dtype: torch.dtype) -> Callable[..., None]:
    """Compile the product for weights in float32 or bfloat16; raises `CannotCompile`."""
    library = build("float_product", WEIGHT=weight_dtype)
    return function(library, "product", *[c_long] * 3, *[c_void_p] * 3)


class CompiledFloatLinear:
    """`x @ weight.T` of one or several `nn.Linear` modules without biases, side by side.

    All is computed in float32. The released weights are bfloat16 numbers, and kept as such; others
    are kept in float32. A row's result does not depend on its neighbours. May raise
    `CannotCompile`.
    """

    def __init__(self, *modules: Any) -> None:
        weight = torch.cat([module.weight.detach() for module in modules]).float()
        self._outputs, self._inputs = weight.shape
        short = weight.bfloat16()
        is_short = bool((short == weight).all())
        if is_short:
            weight = short
        side = 2 if is_short else 1  # bfloat16 weights lie in pairs of inputs
        more_inputs = padded(self._inputs, side) - self._inputs
        more_outputs = padded(self._outputs, PANEL) - self._outputs
        weight = F.pad(weight, (0, more_inputs, 0, more_outputs))
        panels = weight.view(-1, PANEL, weight.shape[1] // side, side)
        self._weight = panels.transpose(1, 2).contiguous()
        self._product = compile_float_product(weight.dtype)

    def __call__(self, x: Tensor) -> Tensor:
        """Multiply [rows, in] to [rows, out] of the same type."""
        exact = x.float().contiguous()
        result = exact.new_empty(len(x), self._outputs)
        self._product(len(x), self._inputs, self._outputs, *pointers(exact, self._weight, result))
        return result.to(x.dtype)
