"""Live audio: the samples of segments, published while they are synthesised."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import CancelledError
from contextlib import suppress
from queue import Full, Queue
from typing import NamedTuple

import numpy as np
from redis import Redis

from shared.audio.wav import to_pcm
from shared.background import BackgroundThread
from shared.jobs import Claim
from shared.store import keys
from shared.store.connection import redis_errors
from shared.store.live_audio import MAX_STREAM_ENTRIES, STREAM_TTL_S, LiveChunk
from worker.engine.request import Samples
from worker.retry import retry_while_held

# Chunks that are queued while Redis is away: about 60 MB of samples.
MAX_QUEUED_CHUNKS = 2_048
CLOSE_TIMEOUT_S = 2.0
_log = logging.getLogger(__name__)


class _QueuedChunk(NamedTuple):
    claim: Claim
    at: int
    samples: Samples


class LivePublisher:
    """A thread that publishes chunks; the engine never waits for it.

    A chunk that finds the queue full is dropped: the listener then reads the segment's file.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._chunks: Queue[_QueuedChunk | None] = Queue(MAX_QUEUED_CHUNKS)
        self._given_up = threading.Event()
        self.thread = BackgroundThread("live", self._loop)
        self.thread.start()

    def begin(self, claim: Claim) -> LiveSegment:
        """The publication of one attempt at a segment."""
        return LiveSegment(claim, self._chunks)

    def close(self) -> None:
        """Publish what is queued, for `CLOSE_TIMEOUT_S` at most, and stop."""
        with suppress(Full):
            self._chunks.put_nowait(None)
        self.thread.stop(CLOSE_TIMEOUT_S)
        self._given_up.set()

    def _loop(self, _stopping: threading.Event) -> None:
        with suppress(CancelledError):
            while (chunk := self._chunks.get()) is not None:
                retry_while_held(self._given_up, self._publish, chunk)

    def _publish(self, chunk: _QueuedChunk) -> None:
        key = keys.live_audio(chunk.claim.segment_id)
        entry = LiveChunk(chunk.claim.epoch, chunk.at, to_pcm(chunk.samples))
        with redis_errors(), self._redis.pipeline(transaction=False) as pipe:
            pipe.xadd(key, entry.fields(), maxlen=MAX_STREAM_ENTRIES)
            pipe.expire(key, STREAM_TTL_S)
            pipe.execute()


class LiveSegment:
    """One attempt at a live segment: its samples as they come, and its end."""

    def __init__(self, claim: Claim, chunks: Queue[_QueuedChunk | None]) -> None:
        self._claim, self._chunks, self._at = claim, chunks, 0

    def add(self, samples: Samples) -> None:
        """Queue the next float32 samples [n]; returns at once."""
        if len(samples):
            self._put(samples)

    def end(self) -> None:
        """Queue the end of the segment: a chunk of no samples."""
        self._put(np.zeros(0, np.float32))

    def _put(self, samples: Samples) -> None:
        try:
            self._chunks.put_nowait(_QueuedChunk(self._claim, self._at, samples))
        except Full:
            _log.warning("Too much is unpublished; some of %s is dropped", self._claim.segment_id)
        self._at += len(samples)
