"""The code predictor: the other 15 codes of a frame, for a whole batch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from worker.engine.nn.decoder import Decoder, DecoderFactory, ForwardContext, causal_mask
from worker.engine.nn.linear import Linear, linear
from worker.engine.precision import Precision
from worker.engine.sampler import BatchSampler


class CodePredictor:
    """A small transformer that starts anew for each frame: 2 inputs, then 14 times one code."""

    def __init__(
        self,
        module: Any,
        tables: list[Tensor],
        slots: int,
        precision: Precision,
        decoder: DecoderFactory = Decoder,
    ) -> None:
        config = module.config
        self._decoder = decoder(module.model, config, precision)
        self._heads = [self._decoder.head(head) for head in module.lm_head]
        self._embeddings = tables
        projection = module.small_to_mtp_projection
        self._project: Linear = lambda x: x
        if hasattr(projection, "weight"):  # the widths of talker and predictor differ
            self._project = linear(projection, precision=precision)
        device = tables[0].device
        self._cache = self._decoder.new_cache(slots, long=False)
        self._cache.fit(config.num_code_groups, 0)
        positions = torch.arange(config.num_code_groups, device=device)[None]
        self._cos, self._sin = self._decoder.rotary(positions)
        self._mask = causal_mask(2, 0, self._cache.keys[0])

    def __call__(
        self, hidden: Tensor, first: Tensor, sampler: BatchSampler, uniform: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Predict the codes that follow a frame's first.

        `hidden` is the talker's last state and `first` the first code's embedding, both
        [rows, hidden]; `uniform` [rows, 15] decides the draws. Returns the codes [rows, 15] and the
        sum of all 16 embeddings [rows, hidden].
        """
        x = self._forward(torch.stack([hidden, first], dim=1), 0)
        codes, embedded = [], [first]
        for i, (head, table) in enumerate(zip(self._heads, self._embeddings, strict=True)):
            code = sampler.draw(head(x), uniform[:, i])
            own = table[code].to(x.dtype)
            codes.append(code)
            embedded.append(own)
            if i + 1 < len(self._heads):
                x = self._forward(own[:, None], i + 2)
        # Summed at once: one by one, bfloat16 would round 15 times.
        return torch.stack(codes, dim=1), torch.stack(embedded, dim=1).sum(1)

    def _forward(self, x: Tensor, start: int) -> Tensor:
        end = start + x.shape[1]
        context = ForwardContext(
            self._cos[:, :, start:end],
            self._sin[:, :, start:end],
            start,
            self._mask if x.shape[1] > 1 else None,
            end,
            slice(0, len(x)),
        )
        return self._decoder(self._project(x), context, self._cache)[:, -1]
