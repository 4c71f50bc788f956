"""The codec's activation, compiled."""

from __future__ import annotations

from collections.abc import Callable
from ctypes import c_long, c_void_p
from typing import Any

import torch
from torch import Tensor

from worker.engine.codec.layers import Snake
from worker.engine.kernels.compiler import build, function, pointers
from worker.engine.precision import Precision


def compile_snake(precision: Precision) -> Callable[..., None]:
    """Compile the activation; raises `CannotCompile`."""
    library = build("snake", ACTIVATION=precision.dtype)
    return function(library, "snake", *[c_long] * 2, *[c_void_p] * 4)


class FusedSnake(Snake):
    """A `Snake` on the CPU, which rounds once instead of four times; may raise `CannotCompile`."""

    def __init__(self, module: Any, precision: Precision) -> None:
        super().__init__(module, Precision.FLOAT32)
        self._snake = compile_snake(precision)

    def __call__(self, x: Tensor, _batch: Any = None) -> Tensor:
        """Activate [..., channels]."""
        x = x.contiguous()
        result = torch.empty_like(x)
        channels = x.shape[-1]
        tensors = pointers(x, self._alpha, self._weight, result)
        self._snake(x.numel() // channels, channels, *tensors)
        return result
