"""The causal layers of the codec's decoder, on [rows, time, channels].

The numbers are those of `modeling_qwen3_tts_tokenizer_v2.py` in qwen-tts 0.1.1. Channels come last,
so that time is the long side of every matrix product.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from worker.engine.codec.products import Product, Products, with_room
from worker.engine.codec.stream import StreamBatch
from worker.engine.nn.linear import Linear


class CausalConv:
    """A convolution over the past and the present."""

    def __init__(self, product: Product, past: int) -> None:
        self._product, self._past = product, past

    def __call__(self, x: Tensor, batch: StreamBatch, into: Tensor | None = None) -> Tensor:
        """Convolve [rows, time, in] to [rows, time, out], which is added to `into`."""
        x = self._product.enter(x, self._past)
        if self._past:
            batch.fill(self, x, self._past)
        return self._product(x, into)


def causal_conv(
    module: Any,
    products: Products,
    time: int,
    before: Any | None = None,
    after: Any | None = None,
) -> CausalConv:
    """A convolution of qwen-tts between two activations, for chunks of that time."""
    conv = module.conv
    dilation: int = conv.dilation[0]
    product = products.make(
        conv.weight.detach(), conv.bias.detach(), dilation, time=time, before=before, after=after
    )
    return CausalConv(product, (conv.kernel_size[0] - 1) * dilation)


class Upsample:
    """A transposed convolution, as a convolution with an output for each place of its stride.

    Its kernel is as long as its stride, or twice as long: then an output is of two inputs.
    """

    stride: int

    def __init__(
        self, module: Any, products: Products, time: int, before: Any | None = None
    ) -> None:
        weight = module.conv.weight.detach()
        inputs, self._channels, length = weight.shape
        self.stride = module.conv.stride[0]
        taps = length // self.stride
        # [in, out, n * stride] to [stride * out, in, n] for n inputs, the last one last.
        apart = weight.view(inputs, self._channels, taps, self.stride).flip(2).permute(3, 1, 0, 2)
        bias = module.conv.bias.detach().repeat(self.stride)
        product = products.make(apart.flatten(0, 1), bias, time=time, before=before)
        self._conv = CausalConv(product, taps - 1)

    def __call__(self, x: Tensor, batch: StreamBatch) -> Tensor:
        """Stretch [rows, time, in] to [rows, time * stride, out]."""
        return self._conv(x, batch).view(len(x), -1, self._channels)


class ResidualUnit:
    """Snake, dilated convolution, Snake, pointwise convolution, and the input again."""

    def __init__(self, module: Any, products: Products, time: int) -> None:
        self._conv = causal_conv(module.conv1, products, time, module.act1, module.act2)
        self._mix = causal_conv(module.conv2, products, time)

    def __call__(self, x: Tensor, batch: StreamBatch) -> Tensor:
        """Transform [rows, time, channels], in place."""
        return self._mix(self._conv(x, batch), batch, into=x)


class ConvNeXt:
    """Depthwise convolution, norm and a pointwise network, scaled and added to the input."""

    def __init__(self, module: Any, products: Products, depthwise: Linear, time: int) -> None:
        conv = module.dwconv.conv
        self._depthwise, self._past = depthwise, conv.kernel_size[0] - 1
        dtype, norm = products.dtype, module.norm
        self._norm = (
            norm.weight.detach().to(dtype, copy=True),
            norm.bias.detach().to(dtype, copy=True),
        )
        self._eps: float = norm.eps
        self._widen = _pointwise(module.pwconv1, products, time)
        self._narrow = _pointwise(module.pwconv2, products, time)
        self._gamma = module.gamma.detach().to(dtype, copy=True)

    def __call__(self, x: Tensor, batch: StreamBatch) -> Tensor:
        """Transform [rows, time, channels]."""
        whole = with_room(x, self._past)
        batch.fill(self, whole, self._past)
        mixed = self._depthwise(whole)
        normed = F.layer_norm(mixed, x.shape[-1:], *self._norm, self._eps)
        wide = F.gelu(self._widen(normed, batch))
        return torch.addcmul(x, self._gamma, self._narrow(wide, batch))


def _pointwise(module: Any, products: Products, time: int) -> CausalConv:
    """An `nn.Linear`, as a convolution with one tap."""
    weight, bias = module.weight.detach()[..., None], module.bias.detach()
    return CausalConv(products.make(weight, bias, time=time), 0)
