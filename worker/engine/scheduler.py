"""Which requests run: waiting ones get rows between steps, ended ones leave; no torch here."""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol

from worker.engine.errors import Closed, QueueFull
from worker.engine.request import Codes, FinishReason, Speech, SynthesisRequest


class Utterance(Protocol):
    """What a row has said so far."""

    @property
    def frames(self) -> list[list[int]]:
        """The frames so far, 16 codes each."""
        ...

    @property
    def codes(self) -> Codes:
        """The same as an array [frames, 16]."""
        ...

    @property
    def reference_codes(self) -> Codes | None:
        """The frames of the recording that it goes on from."""
        ...

    @property
    def finish_reason(self) -> FinishReason:
        """Why it ended."""
        ...


@dataclass(eq=False)
class Entry:
    """A request, the future that its caller holds, and how it went so far (monotonic seconds).

    `batch_size` is the most requests that it ever shared a step with, itself included. `utterance`
    is there once it is admitted; `taken` of its frames are with the codec.
    """

    request: SynthesisRequest
    future: Future[Speech] = field(default_factory=Future)
    submitted_s: float = field(default_factory=time.monotonic)
    admitted_s: float = 0.0
    batch_size: int = 1
    utterance: Utterance | None = None
    taken: int = 0


class Scheduler:
    """A bounded queue of waiting requests, the one that joins, and the running ones by row.

    Up to `slots` run at once.
    """

    def __init__(self, *, slots: int, max_waiting: int) -> None:
        self._slots = slots
        self._max_waiting = max_waiting
        self._waiting: deque[Entry] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._joining: Entry | None = None
        self.running: list[Entry] = []

    def add(self, request: SynthesisRequest) -> Future[Speech]:
        """Queue a request; raises `QueueFull` or `Closed`."""
        with self._changed:
            if self._closed:
                raise Closed("the engine is shutting down")
            if len(self._waiting) >= self._max_waiting:
                raise QueueFull(f"{self._max_waiting} requests are waiting already")
            entry = Entry(request)
            self._waiting.append(entry)
            self._changed.notify_all()
            return entry.future

    def wait_for_work(self) -> bool:
        """Return when there is something to do; False once closed and drained."""
        with self._changed:
            self._changed.wait_for(lambda: self._has_work() or self._closed)
            return self._has_work()

    def next_admission(self) -> Entry | None:
        """The request that is joining, or the next one if there is a row for it.

        Requests that were cancelled while they waited end here.
        """
        with self._changed:
            room = len(self.running) < self._slots
            while self._joining is None and self._waiting and room:
                entry = self._waiting.popleft()
                self._joining = entry if _starts(entry) else None
            return self._joining

    def begin(self) -> None:
        """Note that the joining request is in the next row."""
        entry, self._joining = self._joining, None
        assert entry is not None
        entry.admitted_s = time.monotonic()
        self.running.append(entry)
        for one in self.running:
            one.batch_size = max(one.batch_size, len(self.running))

    def refuse(self) -> None:
        """Note that the joining request cannot run."""
        self._joining = None

    def end(self, row: int) -> Entry:
        """Free a row, which the last row then takes, as in the runner."""
        entry, self.running[row] = self.running[row], self.running[-1]
        self.running.pop()
        return entry

    def end_all(self) -> list[Entry]:
        """Free every row."""
        ended, self.running = self.running, []
        return ended

    def abort(self) -> list[Entry]:
        """Take no more requests and give up all that wait or run."""
        with self._changed:
            self._closed = True
            waiting = [entry for entry in self._waiting if _starts(entry)]
            self._waiting.clear()
            joining = [self._joining] if self._joining else []
            return [*self.end_all(), *joining, *waiting]

    def close(self) -> None:
        """Take no more requests; what waits still runs."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _has_work(self) -> bool:
        return bool(self._waiting or self._joining or self.running)


def _starts(entry: Entry) -> bool:
    if entry.request.cancelled.is_set():
        entry.future.cancel()
    return entry.future.set_running_or_notify_cancel()
