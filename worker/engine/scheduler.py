"""The choice of what runs: waiting requests get rows between steps, ended ones leave; no torch."""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import Future

from worker.engine.errors import Closed, QueueFull
from worker.engine.request import Speech, SynthesisRequest
from worker.engine.sequence import Sequence


class Scheduler:
    """A bounded queue of waiting requests, the one being admitted, and the running ones by row.

    Up to `slots` run at once. `changed` is notified of each request.
    """

    def __init__(
        self, *, slots: int, max_waiting: int, changed: threading.Condition | None = None
    ) -> None:
        self._slots = slots
        self._max_waiting = max_waiting
        self._waiting: deque[Sequence] = deque()
        self._changed = changed or threading.Condition()
        self._closed = False
        self._admitting: Sequence | None = None
        self.running: list[Sequence] = []

    def add(self, request: SynthesisRequest) -> Future[Speech]:
        """Queue a request; raises `QueueFull` or `Closed`."""
        with self._changed:
            if self._closed:
                raise Closed("the engine is shutting down")
            if len(self._waiting) >= self._max_waiting:
                raise QueueFull(f"{self._max_waiting} requests are waiting already")
            sequence = Sequence(request)
            self._waiting.append(sequence)
            self._changed.notify_all()
            return sequence.future

    @property
    def has_work(self) -> bool:
        """True if a request waits, is being admitted or runs."""
        return bool(self._waiting or self._admitting or self.running)

    @property
    def is_closed(self) -> bool:
        """True if no more requests are taken."""
        return self._closed

    def next_admission(self) -> Sequence | None:
        """The request that is being admitted, or the next one if there is a row for it.

        Requests that were cancelled while they waited end here.
        """
        with self._changed:
            room = len(self.running) < self._slots
            while self._admitting is None and self._waiting and room:
                sequence = self._waiting.popleft()
                self._admitting = sequence if _starts(sequence) else None
            return self._admitting

    def begin(self) -> None:
        """Note that the admitted request is in the next row."""
        sequence, self._admitting = self._admitting, None
        assert sequence is not None
        sequence.admitted_s = time.monotonic()
        self.running.append(sequence)
        for running in self.running:
            running.batch_size = max(running.batch_size, len(self.running))

    def refuse(self) -> None:
        """Note that the request being admitted cannot run."""
        self._admitting = None

    def end(self, row: int) -> Sequence:
        """Free a row, which the last row then takes, as in the runner."""
        sequence, self.running[row] = self.running[row], self.running[-1]
        self.running.pop()
        return sequence

    def end_all(self) -> list[Sequence]:
        """Free every row."""
        ended, self.running = self.running, []
        return ended

    def abort(self) -> list[Sequence]:
        """Take no more requests and give up all that wait or run."""
        with self._changed:
            self._closed = True
            waiting = [sequence for sequence in self._waiting if _starts(sequence)]
            self._waiting.clear()
            admitting = [self._admitting] if self._admitting else []
            return [*self.end_all(), *admitting, *waiting]

    def close(self) -> None:
        """Take no more requests; what waits still runs."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


def _starts(sequence: Sequence) -> bool:
    if sequence.request.cancelled.is_set():
        sequence.future.cancel()
    return sequence.future.set_running_or_notify_cancel()
