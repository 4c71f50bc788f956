"""The state of a speech in the codec between two chunks."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from worker.engine.request import Codes


@dataclass(eq=False)
class Stream:
    """The end of every causal layer's input so far, and how many frames went through."""

    frames: int = 0
    pasts: dict[object, Tensor] = field(default_factory=dict)

    def fork(self) -> Stream:
        """A copy, for another speech with this beginning."""
        return Stream(self.frames, dict(self.pasts))


@dataclass(eq=False)
class ReferenceStream:
    """A stream that a reference's codes [frames, 16] go through before a speech goes on from it."""

    key: Hashable
    codes: Codes
    stream: Stream = field(default_factory=Stream)

    @property
    def is_done(self) -> bool:
        """True once all codes went through."""
        return self.stream.frames >= len(self.codes)


class StreamBatch:
    """Streams that are decoded side by side; they change all at once, when a chunk is done."""

    def __init__(self, streams: Sequence[Stream]) -> None:
        self._streams = streams
        self._ends: list[tuple[object, Iterable[Tensor]]] = []

    def fill(self, layer: object, whole: Tensor, size: int) -> None:
        """Put the `size` last inputs of a layer before its new ones: [rows, size + n, ...].

        Before the beginning of a speech there are zeros, which is how the layers are padded.
        """
        nothing = whole.new_zeros(size, *whole.shape[2:])
        pasts = [nothing if past is None else past for past in self.pasts(layer)]
        whole[:, :size] = torch.stack(pasts)
        self.keep(layer, whole[:, -size:].clone())

    def pasts(self, layer: object) -> list[Tensor | None]:
        """The end of each stream's chunk before, as a layer kept it; None before the first one."""
        return [stream.pasts.get(layer) for stream in self._streams]

    def keep(self, layer: object, ends: Iterable[Tensor]) -> None:
        """Note what the next chunk of each stream goes on from in a layer."""
        self._ends.append((layer, ends))

    def positions(self, count: int) -> Tensor:
        """The numbers of each stream's next `count` frames: [rows, count]."""
        starts = torch.tensor([stream.frames for stream in self._streams])
        return starts[:, None] + torch.arange(count)

    def advance(self, count: int) -> None:
        """Note that the next `count` frames of each stream are done."""
        for layer, ends in self._ends:
            for stream, end in zip(self._streams, ends, strict=True):
                stream.pasts[layer] = end
        for stream in self._streams:
            stream.frames += count
