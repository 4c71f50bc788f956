"""The causal layers of the codec's decoder, on [rows, time, channels].

The numbers are those of `modeling_qwen3_tts_tokenizer_v2.py` in qwen-tts 0.1.1. Channels come last,
so that time is the long side of every matrix product.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from worker.engine.codec.stream import StreamBatch
from worker.engine.nn.linear import convolution, linear, linear_from_weight
from worker.engine.precision import Precision


class CausalConv:
    """A convolution over the past and the present."""

    def __init__(self, module: Any, precision: Precision, time: int) -> None:
        conv = module.conv
        self._past: int = (conv.kernel_size[0] - 1) * conv.dilation[0]
        self._convolve = convolution(conv, precision, time)

    def __call__(self, x: Tensor, batch: StreamBatch) -> Tensor:
        """Convolve [rows, time, in] to [rows, time, out]."""
        return self._convolve(batch.extend(self, x, self._past))


class Upsample:
    """A transposed convolution, as one product of each input and the one before it.

    Its kernel is as long as its stride, or twice as long: then an output is of two inputs.
    """

    stride: int

    def __init__(self, module: Any, precision: Precision) -> None:
        weight = module.conv.weight.detach()
        inputs, self._channels, length = weight.shape
        self.stride = module.conv.stride[0]
        self._inputs = length // self.stride
        # [in, out, n * stride] to [stride * out, n * in] for n inputs, the last one last.
        taps = weight.view(inputs, self._channels, self._inputs, self.stride).flip(2)
        rows = taps.permute(3, 1, 2, 0).reshape(self.stride * self._channels, -1)
        bias = module.conv.bias.detach().repeat(self.stride)
        self._multiply = linear_from_weight(rows, bias, precision)

    def __call__(self, x: Tensor, batch: StreamBatch) -> Tensor:
        """Stretch [rows, time, in] to [rows, time * stride, out]."""
        if self._inputs > 1:
            whole = batch.extend(self, x, 1)
            x = torch.cat([whole[:, :-1], whole[:, 1:]], dim=-1)
        return self._multiply(x).view(len(x), -1, self._channels)


class Snake:
    """`x + sin²(αx) / β`, with α and β of each channel (Ziyin et al. 2020)."""

    def __init__(self, module: Any, precision: Precision) -> None:
        self._alpha = module.alpha.detach().float().exp().to(precision.dtype)
        beta = module.beta.detach().float().exp() + module.no_div_by_zero
        self._weight = beta.reciprocal().to(precision.dtype)

    def __call__(self, x: Tensor, _batch: StreamBatch | None = None) -> Tensor:
        """Activate [..., channels]."""
        return torch.addcmul(x, (x * self._alpha).sin_().square_(), self._weight)


class ResidualUnit:
    """Snake, dilated convolution, Snake, pointwise convolution, and the input again."""

    def __init__(
        self, module: Any, precision: Precision, time: int, activation: type[Snake] = Snake
    ) -> None:
        self._act1, self._act2 = (activation(one, precision) for one in (module.act1, module.act2))
        self._conv = CausalConv(module.conv1, precision, time)
        pointwise = module.conv2.conv
        self._mix = linear_from_weight(
            pointwise.weight.detach().squeeze(-1), pointwise.bias.detach(), precision
        )

    def __call__(self, x: Tensor, batch: StreamBatch) -> Tensor:
        """Transform [rows, time, channels]."""
        return self._mix(self._act2(self._conv(self._act1(x), batch))).add_(x)


class ConvNeXt:
    """Depthwise convolution, norm and a pointwise network, scaled and added to the input."""

    def __init__(self, module: Any, precision: Precision, time: int) -> None:
        self._conv = CausalConv(module.dwconv, precision, time)
        dtype, norm = precision.dtype, module.norm
        self._norm = (
            norm.weight.detach().to(dtype, copy=True),
            norm.bias.detach().to(dtype, copy=True),
        )
        self._eps: float = norm.eps
        self._widen = linear(module.pwconv1, precision=precision)
        self._narrow = linear(module.pwconv2, precision=precision)
        self._gamma = module.gamma.detach().to(dtype, copy=True)

    def __call__(self, x: Tensor, batch: StreamBatch) -> Tensor:
        """Transform [rows, time, channels]."""
        normed = F.layer_norm(self._conv(x, batch), x.shape[-1:], *self._norm, self._eps)
        return torch.addcmul(x, self._gamma, self._narrow(F.gelu(self._widen(normed))))
