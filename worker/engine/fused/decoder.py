"""The decoder with compiled kernels: the same numbers, in a sixth of the operations."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from worker.engine.decoder import Decoder, Layer, Span
from worker.engine.fused.build import CannotCompile
from worker.engine.fused.kernels import Kernels, Scaled, Tokens
from worker.engine.kv_cache import KVCache
from worker.engine.linear import Product
from worker.engine.precision import Precision


class FusedDecoder(Decoder):
    """A `Decoder` on the CPU.

    Keys and values are kept in bfloat16 unless all is float32: reading them is what attention
    waits for.
    """

    def __init__(self, module: Any, config: Any, precision: Precision) -> None:
        super().__init__(module, config, precision)
        self._cache_dtype = _cache_dtype(precision)
        self._kernels = prepare_decoder(config, precision)

    def new_cache(self, slots: int, *, long: bool) -> KVCache:
        """An empty cache as the kernels read it."""
        return self._new_cache(slots, self._cache_dtype, long=long, transposed=False)

    def __call__(self, x: Tensor, span: Span, cache: KVCache) -> Tensor:
        """Run [rows, length, hidden] through all layers, writing keys and values to the cache."""
        tokens = _tokens(span, *x.shape[:2])
        state = x.reshape(-1, x.shape[-1]).clone()
        add: Scaled | None = None
        for layer, keys, values in zip(self._layers, cache.keys, cache.values, strict=True):
            add = self._walk(layer, state, add, tokens, keys, values)
        normed = self._kernels.norm(state, add, self._norm)
        return _whole(normed).view(x.shape)

    def _walk(
        self,
        layer: Layer,
        x: Tensor,
        add: Scaled | None,
        tokens: Tokens,
        keys: Tensor,
        values: Tensor,
    ) -> Scaled:
        """One layer over `x` plus `add`; what it returns is still to be added."""
        kernels = self._kernels
        heads = _multiply(layer.qkv, kernels.norm(x, add, layer.before))
        mixed = kernels.attend(heads, (layer.query_norm, layer.key_norm), tokens, keys, values)
        normed = kernels.norm(x, _multiply(layer.out, mixed), layer.after)
        return _multiply(layer.down, kernels.gate(_multiply(layer.gate_up, normed)))


def prepare_decoder(config: Any, precision: Precision) -> Kernels:
    """Compile what a transformer of this configuration needs; raises `CannotCompile`."""
    if config.attention_bias:
        raise CannotCompile("there are no kernels for attention with biases")
    scaled = precision is Precision.INT8
    return Kernels(config.head_dim, precision.dtype, _cache_dtype(precision), scaled=scaled)


def _cache_dtype(precision: Precision) -> torch.dtype:
    return torch.float32 if precision is Precision.FLOAT32 else torch.bfloat16


def _multiply(product: Product, x: Scaled) -> Scaled:
    return Scaled(product.multiply(x.values), x.scale)


def _whole(x: Scaled) -> Tensor:
    return x.values if x.scale is None else x.values * x.scale[:, None]


def _tokens(span: Span, rows: int, length: int) -> Tokens:
    """One token after another, row by row."""
    each = torch.arange(span.rows.start, span.rows.start + rows)
    if isinstance(span.start, int):
        position = torch.arange(span.start, span.start + length).repeat(rows)
    else:
        position = span.start
    cos, sin = (
        one.float().expand(rows, -1, -1, -1).reshape(rows * length, -1).contiguous()
        for one in (span.cos, span.sin)
    )
    return Tokens(cos, sin, each.repeat_interleave(length), position)
