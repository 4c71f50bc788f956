"""A compiled product as C++ calls it."""

from __future__ import annotations

from ctypes import Structure, c_long, c_void_p, cast
from typing import Any

from torch import Tensor

from worker.engine.kernels.compiler import pointers


class ProductPointers(Structure):
    """`Product` of decoder_layers.h; its tensors must be kept as long."""

    _fields_ = (
        ("multiply", c_void_p),
        ("inputs", c_long),
        ("outputs", c_long),
        *((name, c_void_p) for name in ("weights", "offset", "scale", "bias")),
    )


def product_pointers(
    multiply: Any, inputs: int, outputs: int, *tensors: Tensor | None
) -> ProductPointers:
    """A product by a library's function, with its weights, offset, scale and bias."""
    return ProductPointers(cast(multiply, c_void_p), inputs, outputs, *pointers(*tensors))
