"""The transformer between the codec's codebooks and its convolutions: it sees a sliding window."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from worker.engine.codec.products import FloatProducts
from worker.engine.codec.stream import StreamBatch
from worker.engine.nn.block import RMSNorm, TransformerBlock, apply_rotary, rotary


class Transformer:
    """`pre_transformer` of qwen-tts's decoder, with the last window of keys and values carried."""

    def __init__(self, module: Any, products: FloatProducts) -> None:
        config = module.config
        self._enter = products.linear(module.input_proj)
        self._leave = products.linear(module.output_proj)
        self._norm = RMSNorm(module.norm, products.dtype)
        self._past: int = config.sliding_window - 1
        self._layers = [_Layer(layer, self._past, products) for layer in module.layers]
        self._inv_freq: Tensor = module.rotary_emb.inv_freq.float()
        self._dtype = products.dtype

    def __call__(self, x: Tensor, batch: StreamBatch) -> Tensor:
        """Transform the next frames [rows, frames, latent] of each stream."""
        positions = batch.positions(x.shape[1]).to(x.device)
        cos_sin = rotary(self._inv_freq, positions, self._dtype)
        # The keys of each frame, [rows, 1, frames, past + frames]: none before the first.
        before = torch.arange(-self._past, 0, device=positions.device) + positions[:, :1]
        keys = torch.cat([before, positions], dim=1)[:, None]
        distance = positions[:, :, None] - keys
        mask = ((keys >= 0) & (distance >= 0) & (distance <= self._past))[:, None]
        x = self._enter(x)
        for layer in self._layers:
            x = layer(x, cos_sin, mask, batch)
        return self._leave(self._norm(x))


class _Layer(TransformerBlock):
    def __init__(self, module: Any, past: int, products: FloatProducts) -> None:
        super().__init__(module, products.dtype, products.linear)
        self._scales = [
            scale.scale.detach().to(products.dtype, copy=True)
            for scale in (module.self_attn_layer_scale, module.mlp_layer_scale)
        ]
        self._heads: int = module.self_attn.config.num_attention_heads
        self._past = past

    def __call__(
        self, x: Tensor, cos_sin: tuple[Tensor, Tensor], mask: Tensor, batch: StreamBatch
    ) -> Tensor:
        mixed = self.out(self._attend(self.input_norm(x), cos_sin, mask, batch))
        x = torch.addcmul(x, self._scales[0], mixed)
        return torch.addcmul(x, self._scales[1], self.feed_forward(x))

    def _attend(
        self, x: Tensor, cos_sin: tuple[Tensor, Tensor], mask: Tensor, batch: StreamBatch
    ) -> Tensor:
        rows, frames, _ = x.shape
        heads = self.qkv(x).view(rows, frames, 3, self._heads, -1).permute(2, 0, 3, 1, 4)
        query, key = apply_rotary(heads[0], *cos_sin), apply_rotary(heads[1], *cos_sin)
        new = torch.stack([key, heads[2]], dim=1).movedim(3, 1)
        keys, values = batch.extend(self, new, self._past).movedim(1, 3).unbind(1)
        mixed = F.scaled_dot_product_attention(query, keys, values, attn_mask=mask)
        return mixed.transpose(1, 2).reshape(rows, frames, -1)
