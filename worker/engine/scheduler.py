"""Which of the waiting requests run next, together; no torch here."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

from worker.engine.errors import Closed, QueueFull
from worker.engine.request import Speech, SynthesisRequest

MOST_PAUSES = 10


@dataclass(frozen=True, eq=False)
class Waiting:
    """A request, the future that its caller holds, and since when it waits (monotonic seconds)."""

    request: SynthesisRequest
    future: Future[Speech] = field(default_factory=Future)
    since_s: float = field(default_factory=time.monotonic)


class Scheduler:
    """A bounded queue that gives out batches of at most `slots` compatible requests.

    The oldest request decides what a batch is. A batch that is not full begins when nobody has
    joined the queue for `collect_s` seconds, at the latest after `MOST_PAUSES` times as long.
    """

    def __init__(self, *, slots: int, max_waiting: int, collect_s: float) -> None:
        self._slots = slots
        self._max_waiting = max_waiting
        self._collect_s = collect_s
        self._waiting: deque[Waiting] = deque()
        self._changed = threading.Condition()
        self._closed = False

    def add(self, request: SynthesisRequest) -> Future[Speech]:
        """Queue a request; raises `QueueFull` or `Closed`."""
        with self._changed:
            if self._closed:
                raise Closed("the engine is shutting down")
            if len(self._waiting) >= self._max_waiting:
                raise QueueFull(f"{self._max_waiting} requests are waiting already")
            waiting = Waiting(request)
            self._waiting.append(waiting)
            self._changed.notify_all()
            return waiting.future

    def next_batch(self) -> list[Waiting]:
        """Wait for work and take a batch; empty only when closed and drained."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if not self._waiting:
                return []
            while not (self._closed or self._batch_is_full()):
                if (wait_s := self._begins_s() - time.monotonic()) <= 0:
                    break
                self._changed.wait(wait_s)
            return self._take()

    def close(self) -> None:
        """Take no more requests; what waits is still given out."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _begins_s(self) -> float:
        """When the next batch begins, full or not (monotonic seconds)."""
        oldest, newest = self._waiting[0].since_s, self._waiting[-1].since_s
        return min(newest + self._collect_s, oldest + MOST_PAUSES * self._collect_s)

    def _batch_is_full(self) -> bool:
        return len(self._matching()) >= self._slots

    def _take(self) -> list[Waiting]:
        batch = self._matching()[: self._slots]
        for waiting in batch:
            self._waiting.remove(waiting)
        return batch

    def _matching(self) -> list[Waiting]:
        key = compatibility(self._waiting[0].request)
        return [w for w in self._waiting if compatibility(w.request) == key]


def compatibility(request: SynthesisRequest) -> Hashable:
    """Requests with equal keys can share a batch.

    A batch draws from one random stream, so a seeded request that samples runs alone: its codes
    must not depend on its company.
    """
    sampling = request.sampling
    if sampling.do_sample is False and sampling.subtalker_dosample is False:
        return request.task, replace(sampling, seed=None)
    return request.task, sampling, id(request) if sampling.seed is not None else None
