"""The transformer of the talker and of the code predictor: Qwen3 layers over a slot cache.

The numbers are those of qwen-tts's modules; text positions make the three axes of its rotary
embedding equal, so that it is the plain one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from worker.engine.nn.block import LinearFactory, RMSNorm, TransformerBlock, apply_rotary, rotary
from worker.engine.nn.kv_cache import GROWTH_POSITIONS, KVCache
from worker.engine.nn.linear import Linear, linear
from worker.engine.precision import Precision


@dataclass(frozen=True, eq=False)
class ForwardContext:
    """The position of a forward pass in the cache.

    `cos` and `sin` [rows, 1, length, head size] are the rotary embedding of the inputs, which begin
    at position `start`, one for all rows or [rows]. `mask` [rows, 1, length, positions] is added to
    the scores; `positions` is how far back the pass can look. `rows` are the cache's rows.
    """

    cos: Tensor
    sin: Tensor
    start: int | Tensor
    mask: Tensor | None
    positions: int
    rows: slice


class Decoder:
    """Layers and final norm of a qwen-tts transformer, sharing its weights' numbers."""

    def __init__(
        self,
        module: Any,
        config: Any,
        precision: Precision,
        make_linear: LinearFactory | None = None,
    ) -> None:
        make_linear = make_linear or partial(linear, precision=precision)
        self._precision = precision
        self._layers = [
            Layer(layer, config, precision.dtype, make_linear) for layer in module.layers
        ]
        self._norm = RMSNorm(module.norm, precision.dtype)
        self._inv_freq: Tensor = module.rotary_emb.inv_freq.float()
        self._kv_heads: int = config.num_key_value_heads
        self._head: int = config.head_dim

    def head(self, module: Any) -> Linear:
        """A product that reads what the decoder returns, [rows, hidden]."""
        return linear(module, precision=self._precision)

    def new_cache(self, slots: int, *, long: bool) -> KVCache:
        """An empty cache of this decoder's shape, for speech or for the codes of one frame.

        In a long one the positions of values are side by side in memory: both products of attention
        can then have the cache on their left. On a CPU that is three times as fast as with the few
        queries of a head there (and bfloat16 slower than float32), but slower for 16 positions.
        """
        exact = long and self._inv_freq.device.type == "cpu"
        dtype = torch.float32 if exact else self._precision.dtype
        return self._new_cache(slots, dtype, long=long, transposed=long)

    def _new_cache(
        self, slots: int, dtype: torch.dtype, *, long: bool, transposed: bool
    ) -> KVCache:
        return KVCache(
            len(self._layers),
            (slots, self._kv_heads, self._head),
            dtype,
            self._inv_freq.device,
            step=GROWTH_POSITIONS if long else 1,
            transposed=transposed,
        )

    def rotary(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Cosine and signed sine for positions [rows, length]: [rows, 1, length, head size]."""
        return rotary(self._inv_freq, positions, self._precision.dtype)

    def __call__(self, x: Tensor, context: ForwardContext, cache: KVCache) -> Tensor:
        """Run [rows, length, hidden] through all layers, writing keys and values to the cache."""
        for layer, keys, values in zip(self._layers, cache.keys, cache.values, strict=True):
            x = layer(x, context, keys, values)
        return self._norm(x)


class Layer(TransformerBlock):
    """A layer that reads and writes its keys and values in a cache."""

    def __init__(
        self, module: Any, config: Any, dtype: torch.dtype, make_linear: LinearFactory
    ) -> None:
        super().__init__(module, dtype, make_linear)
        attention = module.self_attn
        self.query_norm = RMSNorm(attention.q_norm, dtype)
        self.key_norm = RMSNorm(attention.k_norm, dtype)
        self._heads: int = config.num_attention_heads
        self._kv_heads: int = config.num_key_value_heads
        self._scale = attention.head_dim**-0.5

    def __call__(self, x: Tensor, context: ForwardContext, keys: Tensor, values: Tensor) -> Tensor:
        """Run [rows, length, hidden], writing to this layer's keys and values."""
        x = x + self.out(self._attend(self.input_norm(x), context, keys, values))
        return x + self.feed_forward(x)

    def _attend(self, x: Tensor, context: ForwardContext, keys: Tensor, values: Tensor) -> Tensor:
        rows, length, _ = x.shape
        sizes = [self._heads, self._kv_heads, self._kv_heads]
        heads = self.qkv(x).view(rows, length, sum(sizes), -1).transpose(1, 2)
        query, key, value = torch.split(heads, sizes, dim=1)
        query = apply_rotary(self.query_norm(query), context.cos, context.sin).to(keys.dtype)
        key = apply_rotary(self.key_norm(key), context.cos, context.sin)
        keys, values = keys[context.rows], values[context.rows]
        _write(keys, values, key.to(keys.dtype), value.to(keys.dtype), context.start)
        keys, values = keys[:, :, : context.positions], values[:, :, : context.positions]
        return self._mix(query, keys, values, context).to(x.dtype).reshape(rows, length, -1)

    def _mix(self, query: Tensor, keys: Tensor, values: Tensor, context: ForwardContext) -> Tensor:
        """Grouped attention: the queries that share a key head are columns of one product."""
        rows, heads, length, size = query.shape
        grouped = query.reshape(rows, self._kv_heads, -1, size)
        scores = (keys @ grouped.transpose(-1, -2)).transpose(-1, -2) * self._scale
        if context.mask is not None:
            scores = scores.reshape(rows, heads, length, -1) + context.mask
        weights = scores.softmax(-1, dtype=torch.float32).to(query.dtype)
        weights = weights.view(rows, self._kv_heads, -1, context.positions)
        if values.stride(-1) == 1:
            mixed: Tensor = weights @ values
        else:  # laid out to be on the left
            mixed = (values.transpose(-1, -2) @ weights.transpose(-1, -2)).transpose(-1, -2)
        return mixed.reshape(rows, heads, length, size).transpose(1, 2)


# Makes a decoder of a module, its configuration and a precision.
DecoderFactory = Callable[[Any, Any, Precision], Decoder]


def _write(keys: Tensor, values: Tensor, key: Tensor, value: Tensor, start: int | Tensor) -> None:
    """Write [rows, heads, length, size] at position `start`, or one position a row at its own."""
    if isinstance(start, int):
        keys[:, :, start : start + key.shape[2]] = key
        values[:, :, start : start + key.shape[2]] = value
    else:
        every = torch.arange(len(start), device=start.device)
        keys[every, :, start] = key[:, :, 0]
        values[every, :, start] = value[:, :, 0]


def causal_mask(length: int, start: int, like: Tensor) -> Tensor:
    """Minus infinity ahead of each position from `start` on: [1, 1, length, start + length]."""
    shape = (1, 1, length, start + length)
    return torch.full(shape, -torch.inf, dtype=like.dtype, device=like.device).triu(start + 1)
