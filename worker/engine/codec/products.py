"""The products of the codec's layers, with the activations before and after them."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from worker.engine.codec.window import WindowAttention
from worker.engine.nn.linear import Linear, convolution_from_weight, linear
from worker.engine.precision import Precision


class Product(Protocol):
    """A convolution with what comes before it."""

    def enter(self, x: Tensor, past: int) -> Tensor:
        """The product's input of [rows, time, in]: activated, rounded or as it is.

        Before its rows there is room for `past` more, [rows, past + time, …].
        """
        ...

    def __call__(self, x: Tensor, into: Tensor | None) -> Tensor:
        """Convolve what entered, [rows, past + time, …], to [rows, time, out].

        The result is added to `into`, if that is given.
        """
        ...


class Products(Protocol):
    """Makes the products of a codec."""

    @property
    def dtype(self) -> torch.dtype:
        """The type of what enters and of results."""
        ...

    def make(
        self,
        weight: Tensor,
        bias: Tensor,
        dilation: int = 1,
        *,
        time: int,
        before: Any | None = None,
        after: Any | None = None,
    ) -> Product:
        """A convolution with a weight [out, in, taps] between two activations of qwen-tts.

        What the second one gives can only enter another product. `time` is the usual length of the
        output.
        """
        ...


class Snake:
    """`x + sin²(αx) / β`, with α and β of each channel (Ziyin et al. 2020)."""

    def __init__(self, module: Any, precision: Precision) -> None:
        self.alpha = module.alpha.detach().float().exp().to(precision.dtype)
        beta = module.beta.detach().float().exp() + module.no_div_by_zero
        self.weight = beta.reciprocal().to(precision.dtype)

    def __call__(self, x: Tensor, past: int = 0) -> Tensor:
        """Activate [rows, time, channels], with room for `past` rows before."""
        return with_room(torch.addcmul(x, (x * self.alpha).sin_().square_(), self.weight), past)


def with_room(x: Tensor, past: int) -> Tensor:
    """[rows, time, ...] with room for `past` more before, which is not set: `x` itself for none."""
    if not past:
        return x
    whole = x.new_empty(len(x), past + x.shape[1], *x.shape[2:])
    whole[:, past:] = x
    return whole


class FloatProducts:
    """Makes products in float32 or bfloat16, and the activations that it is given."""

    def __init__(self, precision: Precision, activation: type[Snake] = Snake) -> None:
        self.precision, self.dtype = precision, precision.dtype
        self._activation = activation

    def linear(self, *modules: Any) -> Linear:
        """`x @ weight.T + bias` for one or several `nn.Linear` modules, side by side."""
        return linear(*modules, precision=self.precision)

    def convolution(self, weight: Tensor, bias: Tensor, dilation: int, time: int) -> Linear:
        """A convolution with a weight [out, in, taps]; `time` is its output's usual length."""
        return convolution_from_weight(weight, bias, dilation, self.precision, time)

    def window_attention(self, heads: int, size: int, past: int) -> WindowAttention:
        """Attention to a position and `past` before it, for heads of that size."""
        return WindowAttention(heads, size, past)

    def make(
        self,
        weight: Tensor,
        bias: Tensor,
        dilation: int = 1,
        *,
        time: int,
        before: Any | None = None,
        after: Any | None = None,
    ) -> FloatProduct:
        """A convolution with a weight [out, in, taps] between two activations."""
        multiply = self.convolution(weight, bias, dilation, time)
        first, second = (one and self._activation(one, self.precision) for one in (before, after))
        return FloatProduct(multiply, first, second)


class FloatProduct:
    """A product between two activations, if there are any."""

    def __init__(self, multiply: Linear, before: Snake | None, after: Snake | None) -> None:
        self._multiply, self._before, self._after = multiply, before, after

    def enter(self, x: Tensor, past: int) -> Tensor:
        """The activated [rows, time, in], with room for `past` rows before."""
        return with_room(x, past) if self._before is None else self._before(x, past)

    def __call__(self, x: Tensor, into: Tensor | None) -> Tensor:
        """Convolve [rows, past + time, in] to [rows, time, out]; add it to `into`."""
        result = self._multiply(x)
        if self._after is not None:
            result = self._after(result)
        return result if into is None else into.add_(result)
