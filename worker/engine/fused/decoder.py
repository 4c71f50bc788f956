"""The decoder with compiled kernels, in a sixth of the operations."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from worker.engine.decoder import Decoder, Layer, Span
from worker.engine.fused.build import CannotCompile
from worker.engine.fused.kernels import Kernels, Tokens
from worker.engine.fused.product import PANEL, WholeProduct, prepare_product
from worker.engine.kv_cache import KVCache
from worker.engine.linear import Product
from worker.engine.precision import Precision

# How many passes are remembered, such as those over the code predictor for every frame.
MOST = 64


class FusedDecoder(Decoder):
    """A `Decoder` on the CPU.

    Keys and values are kept in bfloat16 unless all is float32: reading them is what attention
    waits for.
    """

    def __init__(self, module: Any, config: Any, precision: Precision) -> None:
        self._kernels = prepare_decoder(config, precision)
        self._cache_dtype = _cache_dtype(precision)
        make = WholeProduct if precision is Precision.INT8 else None
        super().__init__(module, config, precision, make)

    def head(self, module: Any) -> Product:
        """A product that reads what the decoder returns, [rows, hidden]."""
        if self._precision is not Precision.INT8 or module.out_features % PANEL:
            return super().head(module)
        multiply = WholeProduct(module)
        return lambda x: multiply(self._kernels.round(x))

    def new_cache(self, slots: int, *, long: bool) -> KVCache:
        """An empty cache as the kernels read it."""
        return self._new_cache(slots, self._cache_dtype, long=long, transposed=False)

    def __call__(self, x: Tensor, span: Span, cache: KVCache) -> Tensor:
        """Run [rows, length, hidden] through all layers, writing keys and values to the cache."""
        tokens = _tokens(span, *x.shape[:2])
        assert span.positions <= cache.positions, "the kernels do not look where they write"
        state = x.reshape(-1, x.shape[-1]).clone(memory_format=torch.contiguous_format)
        add: Tensor | None = None
        for layer, keys, values in zip(self._layers, cache.keys, cache.values, strict=True):
            add = self._walk(layer, state, add, tokens, keys, values)
        return self._kernels.last_norm(state, add, self._norm).view(x.shape)

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
        widths = (config.hidden_size, config.intermediate_size, config.head_dim)
        if any(width % PANEL for width in widths):
            raise CannotCompile(f"there are int8 kernels for multiples of {PANEL}, not {widths}")
        prepare_product()
    return Kernels(config.head_dim, precision.dtype, _cache_dtype(precision), whole=whole)


def _tokens(span: Span, rows: int, length: int) -> Tokens:
    """One token after another, row by row."""
    if isinstance(span.start, int):
        row, position = _side_by_side(span.rows.start, rows, span.start, length)
    else:
        row, position = torch.arange(span.rows.start, span.rows.start + rows), span.start
    cos, sin = (
        one.float().expand(rows, -1, -1, -1).reshape(rows * length, -1).contiguous()
        for one in (span.cos, span.sin)
    )
    return Tokens(cos, sin, row, position)


@lru_cache(MOST)
def _side_by_side(first: int, rows: int, start: int, length: int) -> tuple[Tensor, Tensor]:
    """Row and position of each token, if every row is at the same position."""
    row = torch.arange(first, first + rows).repeat_interleave(length)
    return row, torch.arange(start, start + length).repeat(rows)


def _cache_dtype(precision: Precision) -> torch.dtype:
    return torch.float32 if precision is Precision.FLOAT32 else torch.bfloat16
