"""The decoder with compiled kernels: in one call with our own products, else layer by layer."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from worker.engine.kernels.compiler import CannotCompile
from worker.engine.kernels.decoder_kernels import DecoderKernels, Tokens
from worker.engine.kernels.decoder_pass import DecoderPass
from worker.engine.kernels.float_product import CompiledFloatLinear
from worker.engine.kernels.int8_product import CompiledInt8Linear, round_rows
from worker.engine.nn.block import LinearFactory
from worker.engine.nn.decoder import Decoder, ForwardContext, Layer
from worker.engine.nn.kv_cache import KVCache
from worker.engine.nn.linear import Linear
from worker.engine.precision import Precision

# Shapes of passes whose token positions are kept: the code predictor's recur in every frame.
MAX_LAYOUTS = 64


class DecoderProducts(NamedTuple):
    """Makes a decoder's products; with `is_rounded`, they are of rounded rows."""

    make_linear: LinearFactory
    is_rounded: bool


COMPILED = DecoderProducts(CompiledFloatLinear, is_rounded=False)
COMPILED_INT8 = DecoderProducts(CompiledInt8Linear, is_rounded=True)


class FusedDecoder(Decoder):
    """A `Decoder` on the CPU.

    Keys and values are kept in bfloat16 unless all is float32: reading them is what attention
    waits for.
    """

    def __init__(
        self,
        module: Any,
        config: Any,
        precision: Precision,
        products: DecoderProducts | None = None,
    ) -> None:
        """A decoder that multiplies with `products`, by default our own."""
        if products is None:
            products = COMPILED_INT8 if precision is Precision.INT8 else COMPILED
        self._products = products
        self._kernels = compile_decoder_kernels(config, precision, products)
        self._cache_dtype = _cache_dtype(precision)
        super().__init__(module, config, precision, products.make_linear)
        self._pass: DecoderPass | None = None
        if products in (COMPILED, COMPILED_INT8):
            self._pass = DecoderPass(self._kernels, self._layers, self._norm)

    def head(self, module: Any) -> Linear:
        """A product that reads what the decoder returns, [rows, hidden]."""
        multiply = self._products.make_linear(module)
        if not self._products.is_rounded:
            return multiply
        return lambda x: multiply(round_rows(x))

    def new_cache(self, slots: int, *, long: bool) -> KVCache:
        """An empty cache as the kernels read it."""
        return self._new_cache(slots, self._cache_dtype, long=long, transposed=False)

    def __call__(self, x: Tensor, context: ForwardContext, cache: KVCache) -> Tensor:
        """Run [rows, length, hidden] through all layers, writing keys and values to the cache."""
        tokens = _tokens(context, *x.shape[:2])
        assert context.positions <= cache.positions, "the kernels do not look where they write"
        state = x.reshape(-1, x.shape[-1]).clone(memory_format=torch.contiguous_format)
        if self._pass is not None:
            return self._pass(state, tokens, cache).view(x.shape)
        add: Tensor | None = None
        for layer, keys, values in zip(self._layers, cache.keys, cache.values, strict=True):
            add = self._run_layer(layer, state, add, tokens, keys, values)
        return self._kernels.final_rms_norm(state, add, self._norm).view(x.shape)

    def _run_layer(
        self,
        layer: Layer,
        x: Tensor,
        add: Tensor | None,
        tokens: Tokens,
        keys: Tensor,
        values: Tensor,
    ) -> Tensor:
        """Run one layer over `x` plus `add`; the result is still to be added to `x`."""
        kernels = self._kernels
        heads = layer.qkv(kernels.add_rms_norm(x, add, layer.input_norm))
        mixed = kernels.attend(heads, (layer.query_norm, layer.key_norm), tokens, keys, values)
        wide = layer.gate_up(kernels.add_rms_norm(x, layer.out(mixed), layer.post_attention_norm))
        return layer.down(kernels.silu_mul(wide))


def compile_decoder_kernels(
    config: Any, precision: Precision, products: DecoderProducts
) -> DecoderKernels:
    """Compile what a transformer of this configuration needs; raises `CannotCompile`."""
    if config.attention_bias:
        raise CannotCompile("there are no kernels for attention with biases")
    return DecoderKernels(
        config.head_dim,
        precision.dtype,
        _cache_dtype(precision),
        is_rounded=products.is_rounded,
    )


def _tokens(context: ForwardContext, rows: int, length: int) -> Tokens:
    """One token after another, row by row."""
    if isinstance(context.start, int):
        row, position = _aligned_tokens(context.rows.start, rows, context.start, length)
    else:
        row, position = torch.arange(context.rows.start, context.rows.start + rows), context.start
    cos, sin = (
        one.float().expand(rows, -1, -1, -1).reshape(rows * length, -1).contiguous()
        for one in (context.cos, context.sin)
    )
    return Tokens(cos, sin, row, position)


@lru_cache(MAX_LAYOUTS)
def _aligned_tokens(first: int, rows: int, start: int, length: int) -> tuple[Tensor, Tensor]:
    """Row and position of each token, if every row is at the same position."""
    row = torch.arange(first, first + rows).repeat_interleave(length)
    return row, torch.arange(start, start + length).repeat(rows)


def _cache_dtype(precision: Precision) -> torch.dtype:
    return torch.float32 if precision is Precision.FLOAT32 else torch.bfloat16
