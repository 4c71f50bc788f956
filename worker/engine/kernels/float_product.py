"""Products and convolutions in float32, whose weights are kept in bfloat16 if exact, compiled."""

from __future__ import annotations

from collections.abc import Callable
from ctypes import c_long, c_void_p
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from worker.engine.kernels.compiler import PANEL, build, function, padded, pointers
from worker.engine.kernels.product_pointers import ProductPointers, product_pointers


def compile_float_product(weight_dtype: torch.dtype) -> Callable[..., None]:
    """Compile the product for weights in float32 or bfloat16; raises `CannotCompile`."""
    library = build("float_product", WEIGHT=weight_dtype)
    return function(library, "product", *[c_long] * 6, *[c_void_p] * 4)


class CompiledFloatProduct:
    """A weight [out, in, taps] in float32: a matrix product, or a causal convolution.

    The language model's released weights are bfloat16 numbers, and kept as such; others are kept in
    float32. A row's result does not depend on its neighbours. May raise `CannotCompile`.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None, dilation: int = 1) -> None:
        self._outputs, self._inputs, self._taps = weight.shape
        self._dilation = dilation
        weight = weight.detach().float().permute(0, 2, 1)  # [out, taps, in]
        short = weight.bfloat16()
        is_short = bool((short == weight).all())
        if is_short:
            weight = short
        side = 2 if is_short else 1  # bfloat16 weights lie in pairs of inputs
        more = padded(self._outputs, PANEL) - self._outputs
        weight = F.pad(weight, (0, padded(self._inputs, side) - self._inputs, 0, 0, 0, more))
        panels = weight.reshape(-1, PANEL, self._taps, weight.shape[2] // side, side)
        self._weight = panels.permute(0, 2, 3, 1, 4).contiguous()
        self._bias = None if bias is None else F.pad(bias.detach().float(), (0, more))
        self._product = compile_float_product(weight.dtype)

    def __call__(self, x: Tensor) -> Tensor:
        """Multiply float32 [rows, past + time, in] to [rows, time, out]."""
        x = x.contiguous()
        streams, length, _ = x.shape
        time = length - (self._taps - 1) * self._dilation
        result = x.new_empty(streams, time, self._outputs)
        sizes = streams, time, self._inputs, self._outputs, self._taps, self._dilation
        self._product(*sizes, *pointers(x, self._weight, self._bias, result))
        return result

    def pointers(self) -> ProductPointers:
        """The product of one tap, to be called from C++."""
        sizes = self._inputs, self._outputs
        return product_pointers(self._product, *sizes, self._weight, None, None, self._bias)


class CompiledFloatLinear:
    """`x @ weight.T + bias` of one or several `nn.Linear` modules, side by side, in float32."""

    def __init__(self, *modules: Any) -> None:
        weight = torch.cat([module.weight.detach() for module in modules])
        biases = [module.bias for module in modules]
        bias = None if biases[0] is None else torch.cat([one.detach() for one in biases])
        self._product = CompiledFloatProduct(weight[..., None], bias)

    def __call__(self, x: Tensor) -> Tensor:
        """Multiply [..., in] to [..., out] of the same type."""
        rows = x.float().reshape(1, -1, x.shape[-1])
        return self._product(rows).view(*x.shape[:-1], -1).to(x.dtype)

    def pointers(self) -> ProductPointers:
        """The product of float32 rows, to be called from C++."""
        return self._product.pointers()
