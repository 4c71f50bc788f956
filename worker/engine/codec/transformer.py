"""The transformer between the codec's codebooks and its convolutions: it sees a sliding window."""

from __future__ import annotations

from typing import Any

from torch import Tensor, addcmul

from worker.engine.codec.products import FloatProducts
from worker.engine.codec.stream import StreamBatch
from worker.engine.codec.window import WindowAttention
from worker.engine.nn.block import RMSNorm, TransformerBlock, rotary


class Transformer:
    """`pre_transformer` of qwen-tts's decoder, with the last window of keys and values carried."""

    def __init__(self, module: Any, products: FloatProducts) -> None:
        config = module.config
        heads, past = config.num_attention_heads, config.sliding_window - 1
        attend = products.window_attention(heads, config.head_dim, past)
        self._enter = products.linear(module.input_proj)
        self._leave = products.linear(module.output_proj)
        self._norm = RMSNorm(module.norm, products.dtype)
        self._layers = [_Layer(layer, attend, products) for layer in module.layers]
        self._inv_freq: Tensor = module.rotary_emb.inv_freq.float()
        self._dtype = products.dtype

    def __call__(self, x: Tensor, batch: StreamBatch) -> Tensor:
        """Transform the next frames [rows, frames, latent] of each stream."""
        positions = batch.positions(x.shape[1]).to(x.device)
        cos_sin = rotary(self._inv_freq, positions, self._dtype)
        x = self._enter(x)
        for layer in self._layers:
            x = layer(x, cos_sin, positions, batch)
        return self._leave(self._norm(x))


class _Layer(TransformerBlock):
    def __init__(self, module: Any, attend: WindowAttention, products: FloatProducts) -> None:
        super().__init__(module, products.dtype, products.linear)
        self._scales = [
            scale.scale.detach().to(products.dtype, copy=True)
            for scale in (module.self_attn_layer_scale, module.mlp_layer_scale)
        ]
        self._attend = attend

    def __call__(
        self, x: Tensor, cos_sin: tuple[Tensor, Tensor], positions: Tensor, batch: StreamBatch
    ) -> Tensor:
        heads = self.qkv(self.input_norm(x))
        mixed, ends = self._attend(heads, cos_sin, positions, batch.pasts(self))
        batch.keep(self, ends)
        x = addcmul(x, self._scales[0], self.out(mixed))
        return addcmul(x, self._scales[1], self.feed_forward(x))
