"""From frames to samples: what the rows have said is decoded a little between two steps."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from worker.engine.errors import StepFailed
from worker.engine.request import CODE_GROUPS, Codes, Reference, Samples, Speech, Timings
from worker.engine.scheduler import Entry, Utterance

# Chunks of a reference that are heard between two steps: they take less than a step.
REFERENCE_CHUNKS_PER_STEP = 3
_log = logging.getLogger(__name__)


class Codec(Protocol):
    """Decodes; the engine's thread is the only one that calls it."""

    @property
    def chunk(self) -> int:
        """How many frames it decodes at a time."""
        ...

    def listen(self, reference: Reference | None, codes: Codes | None) -> Any:
        """What a new speech goes on from; it `is_done` once it was heard."""
        ...

    def hear(self, heard: Any) -> None:
        """Hear the next chunk of a reference."""
        ...

    def begin(self, heard: Any) -> Any:
        """A stream for a speech that goes on from what was heard."""
        ...

    def decode(self, streams: Sequence[Any], codes: Codes) -> Samples:
        """Decode the next frames [streams, chunk, 16] to samples [streams, n]."""
        ...


@dataclass(frozen=True, eq=False)
class _Piece:
    """Some frames [n, 16] of a speech, at most a chunk; none at all may be its end."""

    entry: Entry
    codes: Codes
    last: bool


@dataclass(eq=False)
class _Track:
    """What a speech sounds like so far; its stream begins when its reference was heard."""

    heard: Any
    stream: Any = None
    samples: list[Samples] = field(default_factory=list)


class Output:
    """Takes frames as they are made, gives samples as they come, and ends requests."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._pieces: deque[_Piece] = deque()
        self._tracks: dict[Entry, _Track] = {}

    def take(self, entry: Entry, *, last: bool = False) -> None:
        """Take what a row has said since the last time, in whole chunks until it ends."""
        self._track(entry)
        frames, chunk = _said(entry).frames, self._codec.chunk
        while len(frames) - entry.taken >= chunk:
            self._add(entry, frames[entry.taken : entry.taken + chunk], last=False)
        if last:
            self._add(entry, frames[entry.taken :], last=True)

    @property
    def chunk(self) -> int:
        """How many frames of a speech are decoded at a time."""
        return self._codec.chunk

    @property
    def is_behind(self) -> bool:
        """Whether frames wait to become samples."""
        return bool(self._pieces)

    def work(self, most: int) -> None:
        """Decode what has waited for longest, the next chunk of up to `most` speeches."""
        self._hear()
        taken: dict[Entry, _Piece] = {}
        for piece in self._pieces:
            if len(taken) < most and self._can_sound(piece.entry):
                taken.setdefault(piece.entry, piece)
        for piece in taken.values():
            self._pieces.remove(piece)
        self._speak(list(taken.values()))

    def _hear(self) -> None:
        """Hear some of the reference that somebody has waited for longest."""
        heard = next((one.heard for one in self._tracks.values() if not one.heard.is_done), None)
        try:
            for _ in range(REFERENCE_CHUNKS_PER_STEP):
                if heard is not None and not heard.is_done:
                    self._codec.hear(heard)
        except Exception as error:  # noqa: BLE001 - the loop must outlive any reference
            _log.exception("The codec failed at a reference")
            for entry, track in self._tracks.items():
                if track.heard is heard:
                    fail(entry, error)
                    entry.request.cancelled.set()

    def _can_sound(self, entry: Entry) -> bool:
        """Whether it is its turn: its reference was heard, or nobody wants it any more."""
        track = self._track(entry)
        if track.stream is None and track.heard.is_done:
            track.stream = self._codec.begin(track.heard)
        return track.stream is not None or not _is_wanted(entry)

    def abort(self) -> list[Entry]:
        """Forget everything; returns the requests that were not done."""
        entries = {*self._tracks, *(piece.entry for piece in self._pieces)}
        self._tracks.clear()
        self._pieces.clear()
        return list(entries)

    def _add(self, entry: Entry, frames: list[list[int]], *, last: bool) -> None:
        entry.taken += len(frames)
        codes = np.array(frames, dtype=np.int64).reshape(-1, CODE_GROUPS)
        self._pieces.append(_Piece(entry, codes, last))

    def _speak(self, pieces: list[_Piece]) -> None:
        sounding = [piece for piece in pieces if len(piece.codes) and _is_wanted(piece.entry)]
        try:
            self._decode(sounding)
        except Exception as error:  # noqa: BLE001 - the loop must outlive any speech
            _log.exception("The codec failed; %d requests fail", len(sounding))
            for piece in sounding:
                fail(piece.entry, error)
                piece.entry.request.cancelled.set()
        for piece in pieces:
            if piece.last:
                self._end(piece.entry)

    def _decode(self, pieces: list[_Piece]) -> None:
        if not pieces:
            return
        tracks = [self._track(piece.entry) for piece in pieces]
        codes = np.zeros((len(pieces), self._codec.chunk, CODE_GROUPS), dtype=np.int64)
        for row, piece in zip(codes, pieces, strict=True):
            row[: len(piece.codes)] = piece.codes
        decoded = self._codec.decode([track.stream for track in tracks], codes)
        for piece, track, samples in zip(pieces, tracks, decoded, strict=True):
            # The layers are causal: what fills a last chunk up is not heard before its end.
            own = samples[: len(samples) * len(piece.codes) // self._codec.chunk].copy()
            track.samples.append(own)
            _tell(piece.entry, own)

    def _track(self, entry: Entry) -> _Track:
        if entry not in self._tracks:
            heard = self._codec.listen(entry.request.reference, _said(entry).reference_codes)
            self._tracks[entry] = _Track(heard)
        return self._tracks[entry]

    def _end(self, entry: Entry) -> None:
        track = self._tracks.pop(entry, None)
        if entry.future.done():
            return
        if entry.request.cancelled.is_set():
            entry.future.set_exception(CancelledError())
            return
        samples = np.concatenate([np.zeros(0, dtype=np.float32), *(track.samples if track else ())])
        said = _said(entry)
        speech = Speech(samples, said.codes, said.finish_reason, _timings(entry))
        entry.future.set_result(speech)


def fail(entry: Entry, error: BaseException) -> None:
    """Fail a request for something that it may not be to blame for."""
    if not entry.future.done():
        failure = StepFailed(f"{type(error).__name__}: {error}")
        failure.__cause__ = error
        entry.future.set_exception(failure)


def _said(entry: Entry) -> Utterance:
    assert entry.utterance is not None
    return entry.utterance


def _is_wanted(entry: Entry) -> bool:
    return not (entry.future.done() or entry.request.cancelled.is_set())


def _tell(entry: Entry, samples: Samples) -> None:
    if entry.request.on_frames is None:
        return
    try:
        entry.request.on_frames(samples)
    except BaseException as error:  # noqa: BLE001 - a bad request fails alone
        entry.future.set_exception(error)
        entry.request.cancelled.set()


def _timings(entry: Entry) -> Timings:
    return Timings(
        waiting_s=entry.admitted_s - entry.submitted_s,
        running_s=time.monotonic() - entry.admitted_s,
        batch_size=entry.batch_size,
    )
