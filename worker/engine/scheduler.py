"""Which requests run: waiting ones get rows between steps, ended ones leave; no torch here."""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field

from worker.engine.errors import Closed, QueueFull
from worker.engine.request import Speech, SynthesisRequest


@dataclass(eq=False)
class Entry:
    """A request, the future that its caller holds, and how it went so far (monotonic seconds).

    `batch_size` is the most requests that it ever shared a step with, itself included.
    """

    request: SynthesisRequest
    future: Future[Speech] = field(default_factory=Future)
    submitted_s: float = field(default_factory=time.monotonic)
    admitted_s: float = 0.0
    batch_size: int = 1


class Scheduler:
    """A bounded queue of waiting requests, and the running ones by row.

    Up to `slots` run at once. While any run, at most `prefills` are admitted between two steps, so
    that newcomers never hold the running ones up for long.
    """

    def __init__(self, *, slots: int, max_waiting: int, prefills: int = 1) -> None:
        self._slots = slots
        self._max_waiting = max_waiting
        self._prefills = prefills
        self._waiting: deque[Entry] = deque()
        self._changed = threading.Condition()
        self._closed = False
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
            self._changed.wait_for(lambda: self._waiting or self.running or self._closed)
            return bool(self._waiting or self.running)

    def next_admissions(self) -> list[Entry]:
        """Take the requests to prefill before the next step; cancelled ones end here."""
        with self._changed:
            room = self._slots - len(self.running)
            most = min(room, self._prefills) if self.running else room
            taken: list[Entry] = []
            while self._waiting and len(taken) < most:
                entry = self._waiting.popleft()
                if _starts(entry):
                    taken.append(entry)
            return taken

    def begin(self, entry: Entry) -> None:
        """Note that a request has been prefilled into the next row."""
        entry.admitted_s = time.monotonic()
        self.running.append(entry)
        for one in self.running:
            one.batch_size = max(one.batch_size, len(self.running))

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
            return [*self.end_all(), *waiting]

    def close(self) -> None:
        """Take no more requests; what waits still runs."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


def _starts(entry: Entry) -> bool:
    if entry.request.cancelled.is_set():
        entry.future.cancel()
    return entry.future.set_running_or_notify_cancel()
