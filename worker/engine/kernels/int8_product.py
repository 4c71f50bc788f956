"""int8 products and convolutions, compiled."""

from __future__ import annotations

from collections.abc import Callable
from ctypes import c_char_p, c_int, c_long, c_void_p
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from worker.engine.kernels.compiler import PANEL, build, function, padded, pointers
from worker.engine.kernels.product_pointers import ProductPointers, product_pointers
from worker.engine.nn.linear import quantise

# What the inputs of a row are padded to, and the size of its scale.
ROW_UNIT, SCALE_BYTES = 8, 4


class ProductKernels(NamedTuple):
    """`product` of rounded rows, `product_snake` and `round_rows`, which makes them."""

    product: Callable[..., None]
    product_snake: Callable[..., None]
    round_rows: Callable[..., None]


def compile_int8_product() -> ProductKernels:
    """Compile the product; raises `CannotCompile`."""
    library = build("int8_product")
    return ProductKernels(
        function(library, "product", *[c_long] * 6, *[c_void_p] * 5, c_int, c_void_p),
        function(library, "product_snake", *[c_long] * 6, *[c_void_p] * 8),
        function(library, "round_rows", *[c_long] * 2, *[c_void_p] * 2),
    )


def missing_instructions() -> str:
    """Instructions of faster products that this processor lacks, if any; raises `CannotCompile`."""
    missing = build("int8_product").missing_instructions
    missing.restype = c_char_p
    return str(missing().decode())


def input_bytes() -> int:
    """The size of an input in a rounded row: 1, with 128 added, or 2; raises `CannotCompile`."""
    return int(build("int8_product").input_bytes())


def new_rounded(shape: torch.Size, like: Tensor) -> Tensor:
    """Room for rows [..., n] as whole numbers: uint8 [..., bytes of inputs, padding and scale]."""
    *rows, inputs = shape
    size = padded(inputs, ROW_UNIT) * input_bytes() + SCALE_BYTES
    return like.new_empty(*rows, size, dtype=torch.uint8)


def round_rows(x: Tensor) -> Tensor:
    """Rows float32 [..., n] as whole numbers; raises `CannotCompile`."""
    x = x.contiguous()
    result = new_rounded(x.shape, x)
    inputs = x.shape[-1]
    compile_int8_product().round_rows(x.numel() // inputs, inputs, *pointers(x, result))
    return result


class Int8Product:
    """A weight [out, in, taps] in int8: a matrix product, or a causal convolution.

    Gives the numbers of `Int8Linear` for rounded rows. Each row has a scale of its own, so that a
    result depends on its own inputs alone. May raise `CannotCompile`.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None, dilation: int = 1) -> None:
        self._outputs, self._inputs, self._taps = weight.shape
        self._dilation = dilation
        self.past = (self._taps - 1) * dilation
        whole, scale = quantise(weight.detach().flatten(1))
        whole = whole.view(weight.shape).permute(0, 2, 1)  # [out, taps, in]
        more = padded(self._outputs, PANEL) - self._outputs
        whole = F.pad(whole, (0, padded(self._inputs, ROW_UNIT) - self._inputs, 0, 0, 0, more))
        dot = int(build("int8_product").dot_inputs())
        panels = whole.reshape(-1, PANEL, self._taps, whole.shape[2] // dot, dot)
        self._weight = panels.permute(0, 2, 3, 1, 4).contiguous()
        self._offset = (whole.sum(2, dtype=torch.int32) * 128).T.contiguous()
        self._scale = F.pad(scale, (0, more))
        nothing = torch.zeros(self._outputs)
        self._bias = F.pad(nothing if bias is None else bias.detach().float(), (0, more))
        self._kernels = compile_int8_product()

    def __call__(self, rows: Tensor, into: Tensor | None = None) -> Tensor:
        """Multiply rounded [rows, past + time, in] to float32 [rows, time, out].

        The result is added to `into`, if that is given.
        """
        shape = self._shape(rows)
        result = torch.empty(*shape[:2], self._outputs) if into is None else into
        own = pointers(rows, self._weight, self._offset, self._scale, self._bias)
        self._kernels.product(*shape, *own, into is not None, *pointers(result))
        return result

    def then_snake(self, rows: Tensor, alpha: Tensor, weight: Tensor) -> Tensor:
        """Multiply as above, activate by `alpha` and `weight` [out], and round the rows."""
        shape = self._shape(rows)
        result = new_rounded(torch.Size((*shape[:2], self._outputs)), rows)
        own = pointers(rows, self._weight, self._offset, self._scale, self._bias)
        self._kernels.product_snake(*shape, *own, *pointers(alpha, weight, result))
        return result

    def pointers(self) -> ProductPointers:
        """The product of one tap, to be called from C++."""
        tensors = self._weight, self._offset, self._scale, self._bias
        return product_pointers(self._kernels.product, self._inputs, self._outputs, *tensors)

    def _shape(self, rows: Tensor) -> tuple[int, ...]:
        streams, length, _ = rows.shape
        time = length - self.past
        return streams, time, self._inputs, self._outputs, self._taps, self._dilation


class CompiledInt8Linear:
    """`x @ weight.T` of one or several `nn.Linear` modules without biases, side by side."""

    def __init__(self, *modules: Any) -> None:
        self._product = Int8Product(
            torch.cat([module.weight.detach() for module in modules])[..., None]
        )

    def __call__(self, x: Tensor) -> Tensor:
        """Multiply rounded [rows, in] to float32 [rows, out]."""
        return self._product(x[None])[0]

    def pointers(self) -> ProductPointers:
        """The product of rounded rows, to be called from C++."""
        return self._product.pointers()
