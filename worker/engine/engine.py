"""The engine: a loop over what the scheduler decides and the runner computes."""

from __future__ import annotations

import logging
import time
from concurrent.futures import Future
from typing import Protocol

from worker.engine.compute_thread import ComputeThread
from worker.engine.observer import Observer
from worker.engine.request import Speech, SynthesisRequest
from worker.engine.scheduler import Scheduler
from worker.engine.sequence import Sequence
from worker.engine.vocoder import Codec, Vocoder

_log = logging.getLogger(__name__)


class Runner(Protocol):
    """Computes; only the engine's thread calls it, but for `prepare`."""

    def prepare(self, request: SynthesisRequest) -> None:
        """Do what is slow and needs no rows, such as reading a reference; from any thread."""
        ...

    def admit(self, sequence: Sequence) -> None:
        """Build the prompt of a sequence, to be prefilled next."""
        ...

    def prefill(self) -> bool:
        """Read a part of the admitted prompt; True once the sequence is in the next row."""
        ...

    def step(self) -> list[int]:
        """Make one frame of every row; returns the rows that have ended, the last one first."""
        ...

    def remove(self, row: int) -> None:
        """Free a row, which the last row then takes."""
        ...

    def clear(self) -> None:
        """Forget every row."""
        ...


class Engine:
    """Speech for requests by continuous batching; `submit` may be called from any thread.

    Up to `slots` requests run at once, and are admitted between two steps. At most `max_waiting`
    wait. Chunks of frames are decoded on the same thread between two steps: two threads that both
    want all cores take twice as long as one that does the work of both. Engines that share a
    `thread` take turns on it; only it calls `work` and `abort`. The `observer` is told of
    each step.
    """

    def __init__(
        self,
        runner: Runner,
        codec: Codec,
        *,
        slots: int,
        max_waiting: int,
        thread: ComputeThread | None = None,
        observer: Observer | None = None,
    ) -> None:
        self._runner = runner
        self._observer = observer or Observer()
        self._thread = thread or ComputeThread()
        self._scheduler = Scheduler(
            slots=slots, max_waiting=max_waiting, changed=self._thread.changed
        )
        self._vocoder = Vocoder(codec)
        self._moved_s: float | None = None
        self._thread.add(self)

    def submit(self, request: SynthesisRequest) -> Future[Speech]:
        """Queue a request for synthesis.

        The future raises what went wrong with this request, `StepFailed` if it shared a step that
        failed, and `CancelledError` if it was cancelled. Raises `QueueFull` or `Closed`.
        """
        try:
            self._runner.prepare(request)
        except Exception as error:  # noqa: BLE001 - whatever a bad request makes the model raise
            failed: Future[Speech] = Future()
            failed.set_exception(error)
            return failed
        return self._scheduler.add(request)

    def close(self) -> None:
        """Finish what was submitted, then stop."""
        self._scheduler.close()
        self._thread.wait_for_end(self)

    @property
    def is_alive(self) -> bool:
        """True while it has turns: until `close`, or an error of the engine itself."""
        return self._thread.has(self)

    @property
    def stalled_s(self) -> float:
        """Seconds since the current step, prefill or chunk began; 0 while the engine waits."""
        moved_s = self._moved_s
        return time.monotonic() - moved_s if moved_s is not None else 0.0

    def _moves(self) -> None:
        self._moved_s = time.monotonic()

    @property
    def has_work(self) -> bool:
        """True if something waits or runs, or frames wait to be decoded."""
        return self._vocoder.has_work or self._scheduler.has_work

    @property
    def is_closed(self) -> bool:
        """True once `close` has been called."""
        return self._scheduler.is_closed

    def work(self) -> None:
        """Admit what there is room for, make a step of what runs, and decode as much as it made."""
        self._moves()
        self._prefill()
        if self._scheduler.running:
            self._step()
        self._moves()
        # A step of n sequences makes n frames. A chunk more than that keeps up, and decodes no
        # earlier than needed.
        self._vocoder.work(self._vocoder.chunk + len(self._scheduler.running))
        self._moved_s = None

    def abort(self, error: BaseException) -> None:
        """Fail all that waits or runs, and take no more."""
        self._moved_s = None  # it has ended, and is not stuck
        for sequence in (*self._scheduler.abort(), *self._vocoder.abort()):
            sequence.fail(error)

    def _prefill(self) -> None:
        """Prefill new sequences: one part while others run, else all that there are rows for."""
        alone = not self._scheduler.running
        while sequence := self._scheduler.next_admission():
            self._moves()
            begun_s = time.monotonic()
            try:
                if not sequence.is_admitted:
                    self._runner.admit(sequence)
                    sequence.is_admitted = True
                is_read = self._runner.prefill()
                sequence.prefill_s += time.monotonic() - begun_s
                if is_read:
                    self._scheduler.begin()
                    self._observer.prefilled(sequence.prefill_s)
            except Exception as error:  # noqa: BLE001 - a bad request fails alone
                self._scheduler.refuse()
                sequence.future.set_exception(error)
            else:
                if not alone:
                    return

    def _step(self) -> None:
        rows, begun_s = len(self._scheduler.running), time.monotonic()
        try:
            ended = self._runner.step()
        except Exception as error:  # noqa: BLE001 - the loop must outlive any step
            _log.exception("A step failed; its %d requests fail", len(self._scheduler.running))
            for sequence in self._scheduler.end_all():
                sequence.fail(error)
            self._runner.clear()
            return
        for row in ended:
            self._runner.remove(row)
            self._vocoder.add(self._scheduler.end(row), last=True)
        took_s = time.monotonic() - begun_s
        self._observer.stepped(rows, took_s, left=len(self._scheduler.running))
        for sequence in self._scheduler.running:
            self._vocoder.add(sequence)
