"""Matrix products with weights laid out for the processor; the one place for private torch ops.

Each private operation has a public one beside it that gives the same numbers, slower, for a torch
without the former.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from worker.engine.precision import Precision

Linear = Callable[[Tensor], Tensor]

# Symmetric: -127 to 127; the operation moves activations up by 128, to unsigned numbers.
INT8_MAX, UINT8_ZERO_POINT = 127, 128


def linear(*modules: Any, precision: Precision) -> Linear:
    """`x @ weight.T + bias` for one or several `nn.Linear` modules, side by side."""
    biases = [module.bias for module in modules]
    return linear_from_weight(
        torch.cat([module.weight.detach() for module in modules]),
        None if biases[0] is None else torch.cat([bias.detach() for bias in biases]),
        precision,
    )


def linear_from_weight(weight: Tensor, bias: Tensor | None, precision: Precision) -> Linear:
    """`x @ weight.T + bias` with a weight [out, in] of any dtype, which is not kept."""
    if bias is not None:
        bias = bias.to(precision.dtype, copy=True)
    if precision is Precision.INT8:
        return Int8Linear(weight, bias)
    weight = weight.to(precision.dtype)
    return PackedLinear(weight, bias) if can_pack(weight) else PlainLinear(weight.clone(), bias)


class PlainLinear:
    """The public product: for devices other than the CPU, and where packing is not possible."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self._weight, self._bias = weight, bias

    def __call__(self, x: Tensor) -> Tensor:
        """Multiply [..., in] to [..., out]."""
        return F.linear(x, self._weight, self._bias)


class PackedLinear:
    """Float weights as oneDNN lays them out.

    For 2 to 32 rows of float32 that is up to 2.5 times as fast as `F.linear`, which goes through
    MKL, and gives the same numbers.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight)
        self._bias = bias

    def __call__(self, x: Tensor) -> Tensor:
        """Multiply [..., in] to [..., out]."""
        multiply = torch.ops.mkldnn._linear_pointwise
        result: Tensor = multiply(x, self._weight, self._bias, "none", [], "")
        return result


class Int8Linear:
    """Weights in int8 with a scale for each output, activations in int8 with one for each row.

    A row's scale comes from the row alone, so that its result does not depend on its neighbours.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        whole, self._scale = quantise(weight)
        self._bias = bias
        self.is_packed = can_multiply_int8()
        self._weight = _pack_int8(whole, self._scale) if self.is_packed else whole

    def __call__(self, x: Tensor) -> Tensor:
        """Multiply float32 [..., in] to [..., out]."""
        largest = x.abs().amax(-1, keepdim=True).clamp_min_(torch.finfo(torch.float32).tiny)
        if self.is_packed:
            product = _multiply_int8(x / largest, self._weight)
        else:
            whole = (x / largest * INT8_MAX).round_()
            product = F.linear(whole, self._weight.float()).mul_(self._scale / INT8_MAX)
        product.mul_(largest)
        return product if self._bias is None else product.add_(self._bias)


def quantise(weight: Tensor) -> tuple[Tensor, Tensor]:
    """A weight [out, in] as int8 numbers, and what each output's are to be multiplied by [out]."""
    weight = weight.float()
    scale = weight.abs().amax(1).clamp(min=torch.finfo(torch.float32).tiny)
    return (weight * (INT8_MAX / scale)[:, None]).round().to(torch.int8), scale / INT8_MAX


def can_pack(weight: Tensor) -> bool:
    """True if torch can lay this weight out; the operations are private and may go away."""
    ops = torch.ops.mkldnn
    able = weight.device.type == "cpu" and weight.dtype in (torch.float32, torch.bfloat16)
    there = hasattr(ops, "_reorder_linear_weight") and hasattr(ops, "_linear_pointwise")
    if not (able and there):
        return False
    return weight.dtype is torch.float32 or bool(ops._is_mkldnn_bf16_supported())


@cache
def can_multiply_int8() -> bool:
    """True if torch has the operations, and the processor the instructions that make them exact.

    Without VNNI pairs of products are added up in 16 bits, where large ones are cut.
    """
    weight, scale = torch.full((16, 64), INT8_MAX, dtype=torch.int8), torch.ones(16)
    try:
        result = _multiply_int8(torch.ones(2, 64), _pack_int8(weight, scale))
    except (AttributeError, RuntimeError):  # not in this torch, or not for this processor
        return False
    return bool((result == 64 * INT8_MAX).all())


def _pack_int8(weight: Tensor, scale: Tensor) -> Any:
    zeros = torch.zeros(len(scale), dtype=torch.long)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*quantized tensor creation functions")
        tensor = torch._make_per_channel_quantized_tensor(weight, scale.double(), zeros, 0)
    return torch.ops.quantized.linear_prepack(tensor, None)


def _multiply_int8(x: Tensor, weight: Any) -> Tensor:
    """Round numbers from -1 to 1 to 127ths, and multiply them in int8."""
    multiply = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32
    result: Tensor = multiply(x, 1 / INT8_MAX, UINT8_ZERO_POINT, weight)
    return result


def convolution(module: Any, precision: Precision, time: int) -> Linear:
    """An `nn.Conv1d` without padding, on [rows, time, channels] instead of channels first.

    `time` is as in `convolution_from_weight`.
    """
    weight, bias = module.weight.detach(), module.bias.detach()
    if module.groups == 1:
        return convolution_from_weight(weight, bias, module.dilation[0], precision, time)
    bias = bias.to(precision.dtype, copy=True)
    return PlainConvolution(weight.to(precision.dtype), bias, module.dilation[0], module.groups)


def convolution_from_weight(
    weight: Tensor, bias: Tensor, dilation: int, precision: Precision, time: int
) -> Linear:
    """A convolution with a weight [out, in, taps].

    `time` is the usual length of its output: the layout is chosen for that, and any other takes
    longer.
    """
    taps = weight.shape[2]
    if taps <= 2 and dilation == 1:
        multiply = linear_from_weight(weight.transpose(1, 2).flatten(1), bias, precision)
        return multiply if taps == 1 else PairProduct(multiply)
    bias = bias.to(precision.dtype, copy=True)
    weight = weight.to(precision.dtype)
    if can_pack(weight):
        return PackedConvolution(weight, bias, dilation, time)
    return PlainConvolution(weight, bias, dilation, groups=1)


class PairProduct:
    """A convolution with two taps, as a product of each input and the one before it."""

    def __init__(self, multiply: Linear) -> None:
        self._multiply = multiply

    def __call__(self, x: Tensor) -> Tensor:
        """Convolve [rows, 1 + time, in] to [rows, time, out]."""
        return self._multiply(torch.cat([x[:, :-1], x[:, 1:]], dim=-1))


class PlainConvolution:
    """The public convolution."""

    def __init__(self, weight: Tensor, bias: Tensor, dilation: int, groups: int) -> None:
        self._weight = weight[:, :, None].clone(memory_format=torch.channels_last)
        self._bias, self._dilation, self._groups = bias, dilation, groups

    def __call__(self, x: Tensor) -> Tensor:
        """Convolve [rows, time, in] to [rows, time - what the kernel overlaps, out]."""
        image = x.transpose(1, 2)[:, :, None]
        result = F.conv2d(
            image, self._weight, self._bias, dilation=(1, self._dilation), groups=self._groups
        )
        return result[:, :, 0].transpose(1, 2)


class PackedConvolution:
    """Weights as oneDNN lays them out: the public operation does that anew at every call."""

    def __init__(self, weight: Tensor, bias: Tensor, dilation: int, time: int) -> None:
        weight = weight[:, :, None].contiguous(memory_format=torch.channels_last)
        self._options = ([0, 0], [1, 1], [1, dilation], 1)
        shape = [1, weight.shape[1], 1, time + (weight.shape[-1] - 1) * dilation]
        self._weight = torch.ops.mkldnn._reorder_convolution_weight(weight, *self._options, shape)
        self._bias = bias

    def __call__(self, x: Tensor) -> Tensor:
        """Convolve [rows, time, in] to [rows, time - what the kernel overlaps, out]."""
        image = x.transpose(1, 2)[:, :, None]
        result: Tensor = torch.ops.mkldnn._convolution_pointwise(
            image, self._weight, self._bias, *self._options, "none", [], None
        )
        return result[:, :, 0].transpose(1, 2)
