"""The engine: a thread that runs what the scheduler decides."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Protocol

from worker.engine.request import Speech, SynthesisRequest, Timings, Utterance
from worker.engine.scheduler import Scheduler, Waiting

_log = logging.getLogger(__name__)


class Runner(Protocol):
    """Computes; the engine's thread is the only one that calls it."""

    def run(self, requests: Sequence[SynthesisRequest]) -> list[Utterance]:
        """Speak compatible requests as one batch, in their order."""
        ...


class Engine:
    """Speech for requests, in batches of up to `slots`; `submit` may be called from any thread.

    A batch begins when it is full or nobody has come for `collect_s`. At most `max_waiting` wait.
    """

    def __init__(self, runner: Runner, *, slots: int, max_waiting: int, collect_s: float) -> None:
        self._runner = runner
        self._scheduler = Scheduler(slots=slots, max_waiting=max_waiting, collect_s=collect_s)
        self._thread = threading.Thread(target=self._loop, name="engine", daemon=True)
        self._thread.start()

    def submit(self, request: SynthesisRequest) -> Future[Speech]:
        """Queue a request for synthesis.

        The future raises what went wrong with this request alone, and is cancelled if the request
        was cancelled before it ran. Raises `QueueFull` or `Closed`.
        """
        return self._scheduler.add(request)

    def close(self) -> None:
        """Finish what was submitted, then stop."""
        self._scheduler.close()
        self._thread.join()

    def _loop(self) -> None:
        while batch := self._scheduler.next_batch():
            self._run([waiting for waiting in batch if _starts(waiting)])

    def _run(self, batch: list[Waiting]) -> None:
        if not batch:
            return
        began_s = time.monotonic()
        try:
            utterances = self._runner.run([waiting.request for waiting in batch])
        except Exception as error:  # noqa: BLE001 - the loop must outlive any request
            self._fail(batch, error)
            return
        for waiting, utterance in zip(batch, utterances, strict=True):
            timings = Timings(began_s - waiting.since_s, time.monotonic() - began_s, len(batch))
            _finish(waiting, Speech(*utterance, timings=timings))

    def _fail(self, batch: list[Waiting], error: Exception) -> None:
        """A batch that fails is run again one by one, so that only the bad request fails."""
        if len(batch) == 1:
            batch[0].future.set_exception(error)
            return
        _log.exception("A batch of %d failed; running each request alone", len(batch))
        for waiting in batch:
            self._run([waiting])


def _starts(waiting: Waiting) -> bool:
    if waiting.request.cancelled.is_set():
        waiting.future.cancel()
    return waiting.future.set_running_or_notify_cancel()


def _finish(waiting: Waiting, speech: Speech) -> None:
    try:
        if waiting.request.on_frames is not None:
            waiting.request.on_frames(speech.samples)
    except Exception as error:  # noqa: BLE001 - the callback is the caller's, its error too
        waiting.future.set_exception(error)
    else:
        waiting.future.set_result(speech)
