"""Live segments: what they sound like, published while they are spoken."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import CancelledError
from contextlib import suppress
from functools import partial
from queue import Full, Queue
from typing import NamedTuple

import numpy as np
from redis import Redis

from shared.audio.wav import to_pcm
from shared.background import BackgroundThread
from shared.jobs import Claim
from shared.store.connection import redis_errors
from shared.store.live_audio import KEPT_S, MAX_STREAM_ENTRIES, LiveChunk, stream_key
from worker.engine.request import Samples
from worker.insist import insist

# Chunks that wait while Redis is away: some 60 MB of samples.
MOST_WAITING = 2_048
GOODBYE_S = 2.0
_log = logging.getLogger(__name__)


class _Due(NamedTuple):
    claim: Claim
    at: int
    samples: Samples


class Live:
    """A thread that publishes; whoever speaks never waits for it.

    What cannot be published in time is dropped: the listener then waits for the segment's file.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._due: Queue[_Due | None] = Queue(MOST_WAITING)
        self._given_up = threading.Event()
        self.thread = BackgroundThread("live", self._loop)
        self.thread.start()

    def begin(self, claim: Claim) -> LiveSegment:
        """An attempt at a segment that somebody listens to."""
        return LiveSegment(claim, self._due)

    def close(self) -> None:
        """Publish what is due, unless Redis is away, and stop."""
        with suppress(Full):
            self._due.put_nowait(None)
        self.thread.stop(GOODBYE_S)
        self._given_up.set()

    def _loop(self, _stopping: threading.Event) -> None:
        with suppress(CancelledError):
            while (due := self._due.get()) is not None:
                insist(partial(self._publish, due), self._given_up)

    def _publish(self, due: _Due) -> None:
        key = stream_key(due.claim.segment_id)
        heard = LiveChunk(due.claim.epoch, due.at, to_pcm(due.samples))
        with redis_errors(), self._redis.pipeline(transaction=False) as pipe:
            pipe.xadd(key, heard.fields(), maxlen=MAX_STREAM_ENTRIES)
            pipe.expire(key, KEPT_S)
            pipe.execute()


class LiveSegment:
    """An attempt: its samples as they come, and its end."""

    def __init__(self, claim: Claim, due: Queue[_Due | None]) -> None:
        self._claim, self._due, self._at = claim, due, 0

    def add(self, samples: Samples) -> None:
        """Take the next float32 samples [n]; returns at once."""
        if len(samples):
            self._put(samples)

    def end(self) -> None:
        """Say that there are no more."""
        self._put(np.zeros(0, np.float32))

    def _put(self, samples: Samples) -> None:
        try:
            self._due.put_nowait(_Due(self._claim, self._at, samples))
        except Full:
            _log.warning("Too much is unpublished; some of %s is dropped", self._claim.segment_id)
        self._at += len(samples)
