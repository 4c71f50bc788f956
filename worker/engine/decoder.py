"""The transformer of the talker and of the code predictor: Qwen3 layers over a slot cache.

The numbers are those of qwen-tts's modules; text positions make the three axes of its rotary
embedding equal, so that it is the plain one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from worker.engine.kv_cache import KVCache
from worker.engine.linear import Linear


class Norm:
    """Root mean square norm, in float32 whatever the input."""

    def __init__(self, module: Any) -> None:
        self._weight: Tensor = module.weight.detach()
        self._eps: float = module.variance_epsilon

    def __call__(self, x: Tensor) -> Tensor:
        """Normalise the last dimension."""
        wide = x.float()
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self._eps)
        return self._weight * wide.to(x.dtype)


@dataclass(frozen=True, eq=False)
class Span:
    """Where a forward pass stands in the cache.

    `cos` and `sin` [rows, 1, length, head size] are the rotary embedding of the inputs, which begin
    at position `start`, one for all rows or [rows]. `mask` [rows, 1, length, positions] is added to
    the scores; `positions` is how far back the pass can look, `row` its first row.
    """

    cos: Tensor
    sin: Tensor
    start: int | Tensor
    mask: Tensor | None
    positions: int
    row: int = 0


class Decoder:
    """Layers and final norm of a qwen-tts transformer, sharing its weights' numbers."""

    def __init__(self, module: Any, config: Any) -> None:
        self._layers = [_Layer(layer, config) for layer in module.layers]
        self._norm = Norm(module.norm)
        self._inv_freq: Tensor = module.rotary_emb.inv_freq.float()

    def rotary(self, positions: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Cosine and sine for positions [rows, length]: [rows, 1, length, head size]."""
        angles = positions[:, None, :, None].float() * self._inv_freq
        angles = torch.cat([angles, angles], dim=-1)
        return angles.cos().to(dtype), angles.sin().to(dtype)

    def __call__(self, x: Tensor, span: Span, cache: KVCache) -> Tensor:
        """Run [rows, length, hidden] through all layers, writing keys and values to the cache."""
        for layer, keys, values in zip(self._layers, cache.keys, cache.values, strict=True):
            x = layer(x, span, keys, values)
        return self._norm(x)


class _Layer:
    def __init__(self, module: Any, config: Any) -> None:
        attention, mlp = module.self_attn, module.mlp
        self._before = Norm(module.input_layernorm)
        self._after = Norm(module.post_attention_layernorm)
        self._query_norm, self._key_norm = Norm(attention.q_norm), Norm(attention.k_norm)
        self._qkv = Linear(attention.q_proj, attention.k_proj, attention.v_proj)
        self._out = Linear(attention.o_proj)
        self._gate_up = Linear(mlp.gate_proj, mlp.up_proj)
        self._down = Linear(mlp.down_proj)
        self._heads: int = config.num_attention_heads
        self._kv_heads: int = config.num_key_value_heads
        self._scale = attention.head_dim**-0.5

    def __call__(self, x: Tensor, span: Span, keys: Tensor, values: Tensor) -> Tensor:
        x = x + self._out(self._attend(self._before(x), span, keys, values))
        gate, up = self._gate_up(self._after(x)).chunk(2, dim=-1)
        return x + self._down(F.silu(gate) * up)

    def _attend(self, x: Tensor, span: Span, keys: Tensor, values: Tensor) -> Tensor:
        rows, length, _ = x.shape
        sizes = [self._heads, self._kv_heads, self._kv_heads]
        heads = self._qkv(x).view(rows, length, sum(sizes), -1).transpose(1, 2)
        query, key, value = torch.split(heads, sizes, dim=1)
        query = _rotate(self._query_norm(query), span)
        key = _rotate(self._key_norm(key), span)
        own = slice(span.row, span.row + rows)
        _write(keys[own], key, span.start)
        _write(values[own], value, span.start)
        keys, values = keys[own, :, : span.positions], values[own, :, : span.positions]
        mixed = self._mix(query, keys, values, span)
        return mixed.transpose(1, 2).reshape(rows, length, -1)

    def _mix(self, query: Tensor, keys: Tensor, values: Tensor, span: Span) -> Tensor:
        """Grouped attention: the queries that share a key head are rows of one product."""
        rows, _, length, size = query.shape
        grouped = query.reshape(rows, self._kv_heads, -1, size)
        scores = (grouped @ keys.transpose(-1, -2)) * self._scale
        if span.mask is not None:
            scores = scores.view(rows, self._heads, length, -1) + span.mask
        weights = scores.softmax(-1, dtype=torch.float32).to(query.dtype)
        weights = weights.view(rows, self._kv_heads, -1, span.positions)
        mixed: Tensor = weights @ values
        return mixed.view(rows, self._heads, length, size)


def _rotate(x: Tensor, span: Span) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return x * span.cos + torch.cat([-second, first], dim=-1) * span.sin


def _write(cache: Tensor, new: Tensor, start: int | Tensor) -> None:
    """Write [rows, heads, length, size] at position `start`, or each row at its own."""
    if isinstance(start, int):
        cache[:, :, start : start + new.shape[2]] = new
    else:
        cache[torch.arange(len(new), device=new.device), :, start] = new[:, :, 0]


def causal_mask(length: int, like: Tensor) -> Tensor:
    """Minus infinity above the diagonal: [1, 1, length, length]."""
    return torch.full((1, 1, length, length), -torch.inf).triu(1).to(like)
