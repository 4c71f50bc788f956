"""The transformer between the codec's codebooks and its convolutions: it sees a sliding window."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from worker.engine.codec.stream import Batch
from worker.engine.decoder import Norm
from worker.engine.linear import linear
from worker.engine.precision import Precision


class Transformer:
    """`pre_transformer` of qwen-tts's decoder, with the last window of keys and values carried."""

    def __init__(self, module: Any, precision: Precision) -> None:
        config = module.config
        self._enter = linear(module.input_proj, precision=precision)
        self._leave = linear(module.output_proj, precision=precision)
        self._norm = Norm(module.norm, precision.dtype)
        self._past: int = config.sliding_window - 1
        self._layers = [_Layer(layer, self._past, precision) for layer in module.layers]
        self._inv_freq: Tensor = module.rotary_emb.inv_freq.float()
        self._dtype = precision.dtype

    def __call__(self, x: Tensor, batch: Batch) -> Tensor:
        """Transform the next frames [rows, frames, latent] of each stream."""
        positions = batch.positions(x.shape[1]).to(x.device)
        angles = positions[:, None, :, None] * self._inv_freq
        angles = torch.cat([angles, angles], dim=-1)
        rotary = angles.cos().to(self._dtype), angles.sin().to(self._dtype)
        mask = self._mask(positions)
        x = self._enter(x)
        for layer in self._layers:
            x = layer(x, rotary, mask, batch)
        return self._leave(self._norm(x))

    def _mask(self, positions: Tensor) -> Tensor:
        """Which keys each frame sees, [rows, 1, frames, past + frames]: none before the first."""
        before = torch.arange(-self._past, 0, device=positions.device) + positions[:, :1]
        keys = torch.cat([before, positions], dim=1)[:, None]
        distance = positions[:, :, None] - keys
        return ((keys >= 0) & (distance >= 0) & (distance <= self._past))[:, None]


class _Layer:
    def __init__(self, module: Any, past: int, precision: Precision) -> None:
        attention, mlp, dtype = module.self_attn, module.mlp, precision.dtype
        self._before = Norm(module.input_layernorm, dtype)
        self._after = Norm(module.post_attention_layernorm, dtype)
        inputs = (attention.q_proj, attention.k_proj, attention.v_proj)
        self._qkv = linear(*inputs, precision=precision)
        self._out = linear(attention.o_proj, precision=precision)
        self._gate_up = linear(mlp.gate_proj, mlp.up_proj, precision=precision)
        self._down = linear(mlp.down_proj, precision=precision)
        self._scales = [
            scale.scale.detach().to(dtype, copy=True)
            for scale in (module.self_attn_layer_scale, module.mlp_layer_scale)
        ]
        self._heads: int = attention.config.num_attention_heads
        self._past = past

    def __call__(
        self, x: Tensor, rotary: tuple[Tensor, Tensor], mask: Tensor, batch: Batch
    ) -> Tensor:
        mixed = self._out(self._attend(self._before(x), rotary, mask, batch))
        x = torch.addcmul(x, self._scales[0], mixed)
        gate, up = self._gate_up(self._after(x)).chunk(2, dim=-1)
        return torch.addcmul(x, self._scales[1], self._down(F.silu(gate) * up))

    def _attend(
        self, x: Tensor, rotary: tuple[Tensor, Tensor], mask: Tensor, batch: Batch
    ) -> Tensor:
        rows, frames, _ = x.shape
        heads = self._qkv(x).view(rows, frames, 3, self._heads, -1).permute(2, 0, 3, 1, 4)
        query, key = _rotate(heads[0], *rotary), _rotate(heads[1], *rotary)
        new = torch.stack([key, heads[2]], dim=1).movedim(3, 1)
        keys, values = batch.extend(self, new, self._past).movedim(1, 3).unbind(1)
        mixed = F.scaled_dot_product_attention(query, keys, values, attn_mask=mask)
        return mixed.transpose(1, 2).reshape(rows, frames, -1)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin
