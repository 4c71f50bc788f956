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
    return function(library, "snake", *[c_long] * 2, *[c_void_p] * 4)


class FusedSnake(Snake):
    """A `Snake` on the CPU, which rounds once instead of four times; may raise `CannotCompile`.

    In int8 it gives rounded rows (`kernels.int8_product`).
    """

    def __init__(self, module: Any, precision: Precision) -> None:
        super().__init__(module, Precision.FLOAT32)
        self._snake = compile_snake(precision)
        self._is_int8 = precision is Precision.INT8

    def __call__(self, x: Tensor) -> Tensor:
        """Activate [..., channels]."""
        x = x.contiguous()
        result = new_rounded(x.shape, x) if self._is_int8 else torch.empty_like(x)
        channels = x.shape[-1]
        tensors = pointers(x, self.alpha, self.weight, result)
        self._snake(x.numel() // channels, channels, *tensors)
        return result
