"""From frames to samples: a few chunks are decoded between two steps."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence as Sequential
from typing import Any, NamedTuple, Protocol

import numpy as np

from worker.engine.request import CODE_GROUPS, Codes, Reference, Samples
from worker.engine.sequence import Sequence

# Chunks of a reference that are decoded between two steps: they take less than a step.
REFERENCE_CHUNKS_PER_STEP = 3
_log = logging.getLogger(__name__)


class Codec(Protocol):
    """Decodes; only the engine's thread calls it."""

    @property
    def chunk(self) -> int:
        """The number of frames at a time that it decodes the fastest."""
        ...

    def open_reference(self, reference: Reference | None, codes: Codes | None) -> Any:
        """The state that a new speech goes on from; it `is_done` once all of it is decoded."""
        ...

    def decode_reference(self, reference: Any) -> None:
        """Decode the next chunk of a reference."""
        ...

    def open_stream(self, reference: Any) -> Any:
        """A stream for a speech that goes on from a reference."""
        ...

    def decode(self, streams: Sequential[Any], codes: Codes) -> Samples:
        """Decode the next frames [streams, frames, 16] to samples [streams, n]."""
        ...


class _Chunk(NamedTuple):
    """Frames of a sequence that are decoded at a time, padded to `size`; the last may be none."""

    sequence: Sequence
    size: int
    is_last: bool


class Vocoder:
    """Decodes the frames of running sequences, and ends the sequences.

    The queue has the chunks in the order in which they became complete. They are of the codec's
    size, which is the fastest; but where a client listens, the first chunk is one frame, and the
    next are as long as what was heard by then.
    """

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._queue: deque[_Chunk] = deque()
        self._references: dict[Sequence, Any] = {}
        self._streams: dict[Sequence, Any] = {}

    @property
    def chunk(self) -> int:
        """The number of frames of a sequence that are decoded at a time."""
        return self._codec.chunk

    @property
    def has_work(self) -> bool:
        """True if frames wait to be decoded."""
        return bool(self._queue)

    def add(self, sequence: Sequence, *, last: bool = False) -> None:
        """Queue the new frames of a sequence, in whole chunks until its last."""
        self._open_reference(sequence)
        while len(sequence.frames) - sequence.queued_frames >= self._next_size(sequence):
            self._add(sequence, is_last=False)
        if last:
            self._add(sequence, is_last=True)

    def _next_size(self, sequence: Sequence) -> int:
        if sequence.request.on_frames is None:
            return self.chunk
        return max(1, min(self.chunk, sequence.queued_frames))

    def _add(self, sequence: Sequence, *, is_last: bool) -> None:
        size = self._next_size(sequence)
        sequence.queued_frames = min(len(sequence.frames), sequence.queued_frames + size)
        self._queue.append(_Chunk(sequence, size, is_last))

    def work(self, max_frames: int) -> None:
        """Decode chunks from the front of the queue, one of a sequence, up to `max_frames`."""
        self._decode_reference()
        batch = self._next_batch(max_frames)
        for chunk in batch:
            self._queue.remove(chunk)
        taken = [(chunk, chunk.sequence.next_frames(chunk.size)) for chunk in batch]
        self._decode(
            [(chunk, codes) for chunk, codes in taken if len(codes) and chunk.sequence.is_wanted]
        )
        for chunk, _ in taken:
            if chunk.is_last:
                self._references.pop(chunk.sequence, None)
                self._streams.pop(chunk.sequence, None)
                chunk.sequence.finish()

    def _next_batch(self, max_frames: int) -> list[_Chunk]:
        """The first chunk of each sequence that is ready, all of the size of the first of them."""
        batch: list[_Chunk] = []
        size, seen = 0, set[Sequence]()
        for chunk in self._queue:
            is_first = chunk.sequence not in seen
            seen.add(chunk.sequence)
            if not is_first or not self._is_ready(chunk.sequence):
                continue
            if batch and (len(batch) + 1) * (size or self.chunk) > max_frames:
                break
            is_empty = chunk.sequence.decoded_frames == len(chunk.sequence.frames)
            if is_empty or not size or chunk.size == size:
                batch.append(chunk)
                size = size if is_empty else chunk.size
        return batch

    def abort(self) -> list[Sequence]:
        """Forget everything; returns the sequences that had not ended."""
        sequences = {*self._references, *(chunk.sequence for chunk in self._queue)}
        for known in (self._references, self._streams, self._queue):
            known.clear()
        return list(sequences)

    def _open_reference(self, sequence: Sequence) -> Any:
        if sequence not in self._references:
            self._references[sequence] = self._codec.open_reference(
                sequence.request.reference, sequence.reference_codes
            )
        return self._references[sequence]

    def _decode_reference(self) -> None:
        """Decode some chunks of the reference that has waited for longest."""
        reference = next((one for one in self._references.values() if not one.is_done), None)
        try:
            for _ in range(REFERENCE_CHUNKS_PER_STEP):
                if reference is not None and not reference.is_done:
                    self._codec.decode_reference(reference)
        except Exception as error:  # noqa: BLE001 - the loop must outlive any reference
            _log.exception("The codec failed at a reference")
            for sequence, its in self._references.items():
                if its is reference:
                    sequence.fail(error)
                    sequence.request.cancelled.set()

    def _is_ready(self, sequence: Sequence) -> bool:
        """True once its reference has been decoded, or if it was cancelled."""
        reference = self._open_reference(sequence)
        if sequence not in self._streams and reference.is_done:
            self._streams[sequence] = self._codec.open_stream(reference)
        return sequence in self._streams or not sequence.is_wanted

    def _decode(self, taken: list[tuple[_Chunk, Codes]]) -> None:
        """Decode chunks of one size."""
        if not taken:
            return
        size = taken[0][0].size
        padded = np.zeros((len(taken), size, CODE_GROUPS), dtype=np.int64)
        for row, (_, codes) in zip(padded, taken, strict=True):
            row[: len(codes)] = codes
        try:
            streams = [self._streams[chunk.sequence] for chunk, _ in taken]
            decoded = self._codec.decode(streams, padded)
            for (chunk, codes), samples in zip(taken, decoded, strict=True):
                # The layers are causal: the padding of a last chunk changes nothing before it.
                chunk.sequence.add_samples(samples[: len(samples) * len(codes) // size].copy())
        except Exception as error:  # noqa: BLE001 - the loop must outlive any speech
            _log.exception("The codec failed; %d requests fail", len(taken))
            for chunk, _ in taken:
                chunk.sequence.fail(error)
                chunk.sequence.request.cancelled.set()
