"""From frames to samples: a few chunks are decoded between two steps."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence as Sequential
from typing import Any, Protocol

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
        """The number of frames that it decodes at a time."""
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
        """Decode the next frames [streams, chunk, 16] to samples [streams, n]."""
        ...


class Vocoder:
    """Decodes the frames of running sequences, and ends the sequences.

    The queue has a sequence once for each chunk, in the order in which chunks became complete. A
    chunk of fewer frames than `chunk`, perhaps none, is the last of its sequence.
    """

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._queue: deque[Sequence] = deque()
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
        while len(sequence.frames) - sequence.queued_frames >= self.chunk:
            sequence.queued_frames += self.chunk
            self._queue.append(sequence)
        if last:
            sequence.queued_frames = len(sequence.frames)
            self._queue.append(sequence)

    def work(self, max_sequences: int) -> None:
        """Decode the chunks at the front of the queue, one each of up to `max_sequences`."""
        self._decode_reference()
        batch: dict[Sequence, None] = {}
        for sequence in self._queue:
            if len(batch) < max_sequences and self._is_ready(sequence):
                batch[sequence] = None
        chunks = []
        for sequence in batch:
            self._queue.remove(sequence)
            chunks.append((sequence, sequence.next_frames(self.chunk)))
        wanted = [(sequence, codes) for sequence, codes in chunks if len(codes)]
        self._decode([(sequence, codes) for sequence, codes in wanted if sequence.is_wanted])
        for sequence, codes in chunks:
            if len(codes) < self.chunk:
                self._references.pop(sequence, None)
                self._streams.pop(sequence, None)
                sequence.finish()

    def abort(self) -> list[Sequence]:
        """Forget everything; returns the sequences that had not ended."""
        sequences = {*self._references, *self._queue}
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

    def _decode(self, chunks: list[tuple[Sequence, Codes]]) -> None:
        if not chunks:
            return
        padded = np.zeros((len(chunks), self.chunk, CODE_GROUPS), dtype=np.int64)
        for row, (_, codes) in zip(padded, chunks, strict=True):
            row[: len(codes)] = codes
        try:
            streams = [self._streams[sequence] for sequence, _ in chunks]
            decoded = self._codec.decode(streams, padded)
            for (sequence, codes), samples in zip(chunks, decoded, strict=True):
                # The layers are causal: the padding of a last chunk changes nothing before it.
                sequence.add_samples(samples[: len(samples) * len(codes) // self.chunk].copy())
        except Exception as error:  # noqa: BLE001 - the loop must outlive any speech
            _log.exception("The codec failed; %d requests fail", len(chunks))
            for sequence, _ in chunks:
                sequence.fail(error)
                sequence.request.cancelled.set()
