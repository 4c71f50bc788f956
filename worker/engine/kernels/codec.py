"""The codec's products with compiled parts, in float and in int8."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from worker.engine.codec.products import FloatProducts, Snake, with_room
from worker.engine.codec.window import WindowAttention
from worker.engine.kernels.float_product import CompiledFloatLinear, CompiledFloatProduct
from worker.engine.kernels.int8_product import Int8Product, round_rows
from worker.engine.kernels.snake import FusedSnake, SingleOutput
from worker.engine.kernels.window import FusedWindowAttention
from worker.engine.nn.linear import Linear
from worker.engine.precision import Precision


class FusedFloatProducts(FloatProducts):
    """Makes float products with compiled activations; may raise `CannotCompile`."""

    def __init__(self, precision: Precision) -> None:
        super().__init__(precision, FusedSnake)

    def window_attention(self, heads: int, size: int, past: int) -> WindowAttention:
        """Attention to a position and `past` before it, for heads of that size."""
        if self.precision is not Precision.FLOAT32:
            return super().window_attention(heads, size, past)
        return FusedWindowAttention(heads, size, past)

    def convolution(self, weight: Tensor, bias: Tensor, dilation: int, time: int) -> Linear:
        """A convolution with a weight [out, in, taps]; `time` is its output's usual length."""
        if weight.shape[0] == 1 and dilation == 1 and self.precision is Precision.FLOAT32:
            return SingleOutput(weight, bias)
        return super().convolution(weight, bias, dilation, time)


class RowProducts(FusedFloatProducts):
    """Makes float32 products each of whose rows is the same in any company, bit by bit.

    oneDNN's are faster, but sum up in an order that depends on the number of rows. What is rounded
    to 8 bits afterwards cannot bear that: a number between two steps would go up or down. May raise
    `CannotCompile`.
    """

    def __init__(self) -> None:
        super().__init__(Precision.FLOAT32)

    def linear(self, *modules: Any) -> Linear:
        """`x @ weight.T + bias` for one or several `nn.Linear` modules, side by side."""
        return CompiledFloatLinear(*modules)

    def convolution(self, weight: Tensor, bias: Tensor, dilation: int, time: int) -> Linear:
        """A convolution with a weight [out, in, taps]; any `time` is as good."""
        if weight.shape[0] == 1:
            return super().convolution(weight, bias, dilation, time)
        return CompiledFloatProduct(weight, bias, dilation)


class Int8Products:
    """Makes products of rounded rows, whose results are float32; may raise `CannotCompile`."""

    dtype = torch.float32

    def make(
        self,
        weight: Tensor,
        bias: Tensor,
        dilation: int = 1,
        *,
        time: int,  # noqa: ARG002 - any is as good
        before: Any | None = None,
        after: Any | None = None,
    ) -> ActivatedInt8Product:
        """A convolution with a weight [out, in, taps] between two activations."""
        return ActivatedInt8Product(Int8Product(weight, bias, dilation), before, after)


class ActivatedInt8Product:
    """A product of rounded rows, between two activations; a second one rounds the result."""

    def __init__(self, product: Int8Product, before: Any | None, after: Any | None) -> None:
        self._product = product
        self._snake = before and FusedSnake(before, Precision.INT8)
        self._after = after and Snake(after, Precision.FLOAT32)

    def enter(self, x: Tensor, past: int) -> Tensor:
        """The activated [rows, time, in], rounded, with room for `past` rows before.

        What is rounded already stays as it is.
        """
        if x.dtype is torch.uint8:
            return with_room(x, past)
        return with_room(round_rows(x), past) if self._snake is None else self._snake(x, past)

    def __call__(self, x: Tensor, into: Tensor | None) -> Tensor:
        """Convolve rounded [rows, past + time, in] to [rows, time, out]; add it to `into`."""
        if self._after is None:
            return self._product(x, into)
        assert into is None
        return self._product.then_snake(x, self._after.alpha, self._after.weight)
