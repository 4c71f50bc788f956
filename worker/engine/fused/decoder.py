"""The decoder with compiled kernels: the same numbers, in a sixth of the operations."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from worker.engine.decoder import Decoder, Layer, Span
from worker.engine.fused.build import CannotCompile, build
from worker.engine.fused.kernels import Kernels, Tokens
from worker.engine.fused.product import WholeProduct
from worker.engine.kv_cache import KVCache
from worker.engine.linear import Product
from worker.engine.precision import Precision

# How many passes over the code predictor, the same for every frame, are remembered.
MOST = 64


class FusedDecoder(Decoder):
    """A `Decoder` on the CPU.

    Keys and values are kept in bfloat16 unless all is float32: reading them is what attention
    waits for.
    """

    def __init__(self, module: Any, config: Any, precision: Precision) -> None:
        super().__init__(module, config, precision)
        self._cache_dtype = _cache_dtype(precision)
        self._kernels = prepare_decoder(config, precision)
        self._side_by_side = lru_cache(MOST)(self._all_from)

    def _product(self, *modules: Any, precision: Precision) -> Product:
        if precision is Precision.INT8:
            return WholeProduct(*modules)
        return super()._product(*modules, precision=precision)

    def new_cache(self, slots: int, *, long: bool) -> KVCache:
        """An empty cache as the kernels read it."""
        return self._new_cache(slots, self._cache_dtype, long=long, transposed=False)

    def __call__(self, x: Tensor, span: Span, cache: KVCache) -> Tensor:
        """Run [rows, length, hidden] through all layers, writing keys and values to the cache."""
        tokens = self._tokens(span, *x.shape[:2])
        state = x.reshape(-1, x.shape[-1]).clone()
        add: Tensor | None = None
        for layer, keys, values in zip(self._layers, cache.keys, cache.values, strict=True):
            add = self._walk(layer, state, add, tokens, keys, values)
        return self._kernels.last_norm(state, add, self._norm).view(x.shape)

    def _tokens(self, span: Span, rows: int, length: int) -> Tokens:
        first = span.rows.start
        if isinstance(span.start, int):
            return self._side_by_side(first, rows, span.start, length)
        return self._at(torch.arange(first, first + rows), span.start)

    def _all_from(self, first: int, rows: int, start: int, length: int) -> Tokens:
        """The same positions for each row, one row after another."""
        row = torch.arange(first, first + rows).repeat_interleave(length)
        return self._at(row, torch.arange(start, start + length).repeat(rows))

    def _at(self, row: Tensor, position: Tensor) -> Tokens:
        cos, sin = (one.flatten(1).float() for one in self.rotary(position[:, None]))
        return Tokens(cos, sin, row, position)

    def _walk(
        self,
        layer: Layer,
        x: Tensor,
        add: Tensor | None,
        tokens: Tokens,
        keys: Tensor,
        values: Tensor,
    ) -> Tensor:
        """One layer over `x` plus `add`; what it returns is still to be added."""
        kernels = self._kernels
        heads = layer.qkv(kernels.norm(x, add, layer.before))
        mixed = kernels.attend(heads, (layer.query_norm, layer.key_norm), tokens, keys, values)
        wide = layer.gate_up(kernels.norm(x, layer.out(mixed), layer.after))
        return layer.down(kernels.gate(wide))


def prepare_decoder(config: Any, precision: Precision) -> Kernels:
    """Compile what a transformer of this configuration needs; raises `CannotCompile`."""
    if config.attention_bias:
        raise CannotCompile("there are no kernels for attention with biases")
    whole = precision is Precision.INT8
    if whole:
        build("product")
    return Kernels(config.head_dim, precision.dtype, _cache_dtype(precision), whole=whole)


def _cache_dtype(precision: Precision) -> torch.dtype:
    return torch.float32 if precision is Precision.FLOAT32 else torch.bfloat16
