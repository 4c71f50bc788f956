"""One request on its way through the engine; no torch here."""

from __future__ import annotations

import time
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field

import numpy as np

from worker.engine.errors import StepFailed
from worker.engine.request import (
    CODE_GROUPS,
    Codes,
    FinishReason,
    Samples,
    Speech,
    SynthesisRequest,
    Timings,
)


@dataclass(eq=False)
class Sequence:
    """A request, the future that its caller holds, and its frames and samples so far.

    The engine sets `is_admitted` once the runner has built the prompt, and adds the seconds that
    reading it takes to `prefill_s`. `first_audio_s` counts from the submission. The scheduler
    writes `admitted_s`, when it got its row (monotonic, as `submitted_s`), and `batch_size`, the
    most requests that shared a step with it, itself included. The runner writes `reference_codes`
    [frames, 16], `frames` of 16 codes each and `finish_reason`. The vocoder writes `samples`;
    `queued_frames` have been given to its queue, `decoded_frames` of them have left it.
    """

    request: SynthesisRequest
    future: Future[Speech] = field(default_factory=Future)
    submitted_s: float = field(default_factory=time.monotonic)
    is_admitted: bool = False
    admitted_s: float = 0.0
    prefill_s: float = 0.0
    first_audio_s: float | None = None
    batch_size: int = 1
    reference_codes: Codes | None = None
    frames: list[list[int]] = field(default_factory=list)
    finish_reason: FinishReason = "length"
    samples: list[Samples] = field(default_factory=list)
    queued_frames: int = 0
    decoded_frames: int = 0

    @property
    def codes(self) -> Codes:
        """The frames so far as an array [frames, 16]."""
        return np.array(self.frames, dtype=np.int64).reshape(-1, CODE_GROUPS)

    @property
    def is_wanted(self) -> bool:
        """True unless the request has failed or was cancelled."""
        return not (self.future.done() or self.request.cancelled.is_set())

    def next_frames(self, count: int) -> Codes:
        """Take up to `count` frames that are not decoded yet, as an array [n, 16]."""
        start = self.decoded_frames
        frames = self.frames[start : start + count]
        self.decoded_frames += len(frames)
        return np.array(frames, dtype=np.int64).reshape(-1, CODE_GROUPS)

    def add_samples(self, samples: Samples) -> None:
        """Keep the next samples and give them to `on_frames`, whose error fails the request."""
        if self.first_audio_s is None:
            self.first_audio_s = time.monotonic() - self.submitted_s
        self.samples.append(samples)
        try:
            if self.request.on_frames is not None:
                self.request.on_frames(samples)
        except BaseException as error:  # noqa: BLE001 - a bad request fails alone
            self.future.set_exception(error)
            self.request.cancelled.set()

    def finish(self) -> None:
        """Resolve the future with the speech, or as cancelled, unless it has failed already."""
        if self.future.done():
            return
        if self.request.cancelled.is_set():
            self.future.set_exception(CancelledError())
            return
        samples = np.concatenate([np.zeros(0, dtype=np.float32), *self.samples])
        timings = Timings(
            waiting_s=self.admitted_s - self.submitted_s,
            running_s=time.monotonic() - self.admitted_s,
            batch_size=self.batch_size,
            first_audio_s=self.first_audio_s,
        )
        self.future.set_result(Speech(samples, self.codes, self.finish_reason, timings))

    def fail(self, error: BaseException) -> None:
        """Fail with `StepFailed`: the cause may be another request of the batch."""
        if not self.future.done():
            failure = StepFailed(f"{type(error).__name__}: {error}")
            failure.__cause__ = error
            self.future.set_exception(failure)
