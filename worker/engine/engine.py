"""The engine: a thread that loops over what the scheduler decides and the runner computes."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import Protocol

from worker.engine.errors import StepFailed
from worker.engine.request import (
    Codes,
    FinishReason,
    Samples,
    Speech,
    SynthesisRequest,
    Timings,
)
from worker.engine.scheduler import Entry, Scheduler

_log = logging.getLogger(__name__)


class Utterance(Protocol):
    """What a row became."""

    @property
    def codes(self) -> Codes:
        """The frames made [frames, 16]."""
        ...

    @property
    def finish_reason(self) -> FinishReason:
        """Why they ended."""
        ...

    def decode(self) -> Samples:
        """Turn the codes into samples float32 [n]; called from the codec's thread."""
        ...


class Runner(Protocol):
    """Computes; the engine's thread is the only one that calls it."""

    def admit(self, request: SynthesisRequest) -> None:
        """Prefill a request into the next row."""
        ...

    def step(self) -> list[int]:
        """Make one frame of every row; returns the rows that have ended, the last one first."""
        ...

    def remove(self, row: int) -> Utterance:
        """Free a row, which the last row then takes."""
        ...

    def clear(self) -> None:
        """Forget every row."""
        ...


class Engine:
    """Speech for requests by continuous batching; `submit` may be called from any thread.

    Up to `slots` requests are spoken at once; others join between two frames. At most
    `max_waiting` wait. Codes become samples on a thread of their own, beside the next frames.
    """

    def __init__(self, runner: Runner, *, slots: int, max_waiting: int) -> None:
        self._runner = runner
        self._scheduler = Scheduler(slots=slots, max_waiting=max_waiting)
        self._codec = ThreadPoolExecutor(1, thread_name_prefix="codec")
        self._thread = threading.Thread(target=self._loop, name="engine", daemon=True)
        self._thread.start()

    def submit(self, request: SynthesisRequest) -> Future[Speech]:
        """Queue a request for synthesis.

        The future raises what went wrong with this request, `StepFailed` if it shared a step that
        failed, and `CancelledError` if it was cancelled. Raises `QueueFull` or `Closed`.
        """
        return self._scheduler.add(request)

    def close(self) -> None:
        """Finish what was submitted, then stop."""
        self._scheduler.close()
        self._thread.join()
        self._codec.shutdown()

    @property
    def is_alive(self) -> bool:
        """Whether requests are still spoken; False after `close`, and after an error of our own."""
        return self._thread.is_alive()

    def _loop(self) -> None:
        try:
            while self._scheduler.wait_for_work():
                for entry in self._scheduler.next_admissions():
                    self._admit(entry)
                if self._scheduler.running:
                    self._step()
        except BaseException as error:  # noqa: BLE001 - nobody may wait for an engine that is gone
            _log.critical("The engine stops", exc_info=error)
            _fail(self._scheduler.abort(), error)

    def _admit(self, entry: Entry) -> None:
        try:
            self._runner.admit(entry.request)
        except Exception as error:  # noqa: BLE001 - a bad request fails alone
            entry.future.set_exception(error)
        else:
            self._scheduler.begin(entry)

    def _step(self) -> None:
        try:
            ended = self._runner.step()
        except Exception as error:  # noqa: BLE001 - the loop must outlive any step
            _log.exception("A step failed; its %d requests fail", len(self._scheduler.running))
            _fail(self._scheduler.end_all(), error)
            self._runner.clear()
            return
        for row in ended:
            utterance = self._runner.remove(row)
            self._codec.submit(_finish, self._scheduler.end(row), utterance)


def _fail(entries: list[Entry], error: BaseException) -> None:
    failure = StepFailed(f"{type(error).__name__}: {error}")
    failure.__cause__ = error
    for entry in entries:
        if not entry.future.done():
            entry.future.set_exception(failure)


def _finish(entry: Entry, utterance: Utterance) -> None:
    if entry.request.cancelled.is_set():
        entry.future.set_exception(CancelledError())
        return
    try:
        samples = utterance.decode()
        if entry.request.on_frames is not None:
            entry.request.on_frames(samples)
    except Exception as error:  # noqa: BLE001 - a bad request fails alone
        entry.future.set_exception(error)
    else:
        entry.future.set_result(
            Speech(samples, utterance.codes, utterance.finish_reason, _timings(entry))
        )


def _timings(entry: Entry) -> Timings:
    return Timings(
        waiting_s=entry.admitted_s - entry.submitted_s,
        running_s=time.monotonic() - entry.admitted_s,
        batch_size=entry.batch_size,
    )
