"""The codec's decoder: frames of 16 codes to 24 kHz, in chunks with exact carried state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from worker.engine.codec.layers import ConvNeXt, ResidualUnit, Upsample, causal_conv
from worker.engine.codec.products import FloatProducts, Products
from worker.engine.codec.stream import ReferenceStream, Stream, StreamBatch
from worker.engine.codec.transformer import Transformer
from worker.engine.nn.linear import Linear, convolution
from worker.engine.request import CODE_GROUPS, Codes, Reference, Samples
from worker.engine.single_flight_lru import SingleFlightLRU

# Frames that are decoded at a time, 320 ms: few enough for the processor's cache and an early first
# sound, and enough for its arithmetic.
CHUNK_FRAMES = 4
# The same at 50 Hz, where the convolutions begin.
CHUNK_STEPS = 4 * CHUNK_FRAMES
# References that are remembered.
MAX_REFERENCES = 64


class Codec:
    """The decoder of a qwen-tts speech tokenizer, whose layers are all causal.

    However a speech is cut into chunks, and whatever is decoded beside it, its samples are those of
    one pass over the whole of it. (qwen-tts itself begins anew every 300 frames, with 25 frames of
    context; up to there its samples are the same.)
    """

    chunk = CHUNK_FRAMES

    def __init__(self, decoder: Any, outer: FloatProducts, inner: Products) -> None:
        """A decoder whose first layers and last one multiply by `outer`, the others by `inner`."""
        self._device = decoder.quantizer.rvq_first.output_proj.weight.device
        self._references: SingleFlightLRU[ReferenceStream] = SingleFlightLRU(MAX_REFERENCES)
        self._books = _Codebooks(decoder.quantizer, outer)
        self._enter = causal_conv(decoder.pre_conv, outer, CHUNK_FRAMES)
        self._transformer = Transformer(decoder.pre_transformer, outer)
        self._layers: list[Any] = []
        time = CHUNK_FRAMES
        for stretch, mix in decoder.upsample:
            time = self._add_upsample(stretch, inner, time)
            depthwise = convolution(mix.dwconv.conv, outer.precision, time)
            self._layers.append(ConvNeXt(mix, inner, depthwise, time))
        first, *blocks, snake, last = decoder.decoder
        self._layers.append(causal_conv(first, inner, time))
        for activation, stretch, *units in (block.block for block in blocks):
            time = self._add_upsample(stretch, inner, time, activation)
            self._layers += [ResidualUnit(unit, inner, time) for unit in units]
        self._layers.append(causal_conv(last, outer, time, snake))

    def _add_upsample(
        self, module: Any, products: Products, time: int, activation: Any | None = None
    ) -> int:
        """Add a layer that stretches chunks of that time, and return how long they then are."""
        layer = Upsample(module, products, time, activation)
        self._layers.append(layer)
        return time * layer.stride

    def open_reference(self, reference: Reference | None, codes: Codes | None) -> ReferenceStream:
        """The state that a new speech goes on from: nothing, or a reference's codes [frames, 16].

        A reference is decoded once, for all sequences that go on from it.
        """
        if reference is None or codes is None:
            return ReferenceStream(None, np.zeros((0, CODE_GROUPS), dtype=np.int64))
        return self._references.get(reference.key, lambda: ReferenceStream(reference.key, codes))

    def decode_reference(self, reference: ReferenceStream) -> None:
        """Decode the next chunk of a reference; after a failure it is opened anew."""
        start = reference.stream.frames
        try:
            self.decode([reference.stream], reference.codes[None, start : start + CHUNK_FRAMES])
        except Exception:
            self._references.drop(reference.key)
            raise

    def open_stream(self, reference: ReferenceStream) -> Stream:
        """A stream for a speech that goes on from a reference."""
        return reference.stream.fork()

    @torch.inference_mode()
    def decode(self, streams: Sequence[Stream], codes: Codes) -> Samples:
        """Decode the next frames [streams, frames, 16] of each stream, best `CHUNK_FRAMES` of them.

        Returns float32 [streams, frames * 1,920], at most 1 in magnitude.
        """
        batch = StreamBatch(streams)
        x = self._books(torch.from_numpy(codes).to(self._device))
        x = self._transformer(self._enter(x, batch), batch)
        for layer in self._layers:
            x = layer(x, batch)
        batch.advance(codes.shape[1])
        samples: Samples = x.squeeze(-1).float().clamp_(-1, 1).cpu().numpy()
        return samples


class _Codebooks:
    """The embeddings of the codes: the first one's, and the sum of the others', projected."""

    def __init__(self, quantizer: Any, products: FloatProducts) -> None:
        # Tables [books, codes, width] and projection of each part.
        self._tables: list[Tensor] = []
        self._projections: list[Linear] = []
        for part in (quantizer.rvq_first, quantizer.rvq_rest):
            books = [layer._codebook for layer in part.vq.layers]
            sums = torch.stack([book.embedding_sum.detach() for book in books])
            counts = torch.stack([book.cluster_usage.detach() for book in books])
            tables = sums / counts.clamp(min=books[0].epsilon)[..., None]
            self._tables.append(tables.to(products.dtype))
            weight = part.output_proj.weight.detach()
            nothing = torch.zeros(len(weight), device=weight.device)
            self._projections.append(products.convolution(weight, nothing, 1, CHUNK_FRAMES))

    def __call__(self, codes: Tensor) -> Tensor:
        """Embed [rows, frames, 16] as [rows, frames, width]."""
        sums, first = [], 0
        for tables, projection in zip(self._tables, self._projections, strict=True):
            own = codes[..., first : first + len(tables)]
            first += len(tables)
            # One after another: torch.sum has an order that depends on the number of rows.
            embedded = F.embedding(own[..., 0], tables[0]).float()
            for i, table in enumerate(tables[1:], 1):
                embedded += F.embedding(own[..., i], table)
            sums.append(projection(embedded.to(tables.dtype)))
        return sums[0] + sums[1]
