"""The codec's activation, compiled."""

from __future__ import annotations

from collections.abc import Callable
from ctypes import c_long, c_void_p
from typing import Any

import torch
from torch import Tensor

from worker.engine.codec.products import Snake
from worker.engine.kernels.compiler import build, function, pointers
from worker.engine.kernels.int8_product import new_rounded
from worker.engine.precision import Precision


def compile_snake(precision: Precision) -> Callable[..., None]:
    """Compile the activation for the products of a precision; raises `CannotCompile`."""
    read = torch.uint8 if precision is Precision.INT8 else precision.dtype
    library = build("snake", ACTIVATION=precision.dtype, READ=read)
    return function(library, "snake", *[c_long] * 4, *[c_void_p] * 4)


class SingleOutput:
    """A float32 convolution without dilation to one output: oneDNN pads that to 16."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        _, self._inputs, self._taps = weight.shape
        self._weight = weight[0].T.float().contiguous()
        self._bias = bias.float().clone()
        library = build("snake", ACTIVATION=torch.float32, READ=torch.float32)
        self._convolve = function(library, "single_output", *[c_long] * 4, *[c_void_p] * 4)

    def __call__(self, x: Tensor) -> Tensor:
        """Convolve [rows, past + time, in] to [rows, time, 1]."""
        x = x.contiguous()
        time = x.shape[1] - self._taps + 1
        result = x.new_empty(len(x), time, 1)
        sizes = (len(x), time, self._taps * self._inputs, self._inputs)
        self._convolve(*sizes, *pointers(x, self._weight, self._bias, result))
        return result


class FusedSnake(Snake):
    """A `Snake` on the CPU, which rounds once instead of four times; may raise `CannotCompile`.

    In int8 it gives rounded rows (`kernels.int8_product`).
    """

    def __init__(self, module: Any, precision: Precision) -> None:
        super().__init__(module, Precision.FLOAT32)
        self._snake = compile_snake(precision)
        self._is_int8 = precision is Precision.INT8

    def __call__(self, x: Tensor, past: int = 0) -> Tensor:
        """Activate [rows, time, channels], with room for `past` rows before."""
        x = x.contiguous()
        rows, time, channels = x.shape
        shape = torch.Size((rows, past + time, channels))
        result = new_rounded(shape, x) if self._is_int8 else x.new_empty(shape)
        tensors = pointers(x, self.alpha, self.weight, result)
        self._snake(rows, time, past, channels, *tensors)
        return result
