"""The task of a Celery message: a claimed segment is synthesised, stored and committed."""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, replace
from threading import Semaphore

import soundfile

from shared import tracing
from shared.audio.wav import encode_wav
from shared.durations import frame_bound
from shared.errors import ObjectNotFound, StaleClaim, StorageRefused, Unavailable
from shared.jobs import Claim, SegmentResult, SpeechSpec, StoredReference
from shared.log_context import log_context
from shared.storage import Storage
from shared.storage_paths import segments_folder
from shared.store.ledger import Ledger
from worker.engine.errors import Closed, QueueFull, StepFailed
from worker.engine.request import Reference, Speech, SynthesisRequest
from worker.heartbeat import Heartbeat
from worker.join import join_job
from worker.live_publisher import LivePublisher
from worker.metrics import observe_speech
from worker.model.pool import EngineHold
from worker.retry import HeldClaim

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class SegmentTask:
    """The work that a message for `model` starts: the next segment, and the join after the last.

    The ledger decides which segment is next: a message that is repeated, late or lost costs one
    claim that finds nothing. At most `at_once` segments are claimed and not yet synthesised, and
    none is claimed once `is_stopping`, or while `hold_engine` gives an empty hold: a segment that
    waits for its model to be loaded has no lease that could end.
    """

    model: str
    ledger: Ledger
    storage: Storage
    hold_engine: Callable[[], AbstractContextManager[EngineHold]]
    heartbeat: Heartbeat
    live: LivePublisher
    at_once: int
    is_stopping: Callable[[], bool]

    def __post_init__(self) -> None:
        self._permits = Semaphore(self.at_once)

    def __call__(self) -> None:
        """Do the next segment, and the join if it was the job's last."""
        self.heartbeat.note_message()
        # The claim comes after the permit, so that what was queued during the wait competes for it.
        # It is given back at the end, or before by `permit.close()`.
        with ExitStack() as permit:
            permit.enter_context(self._permits)
            engine = permit.enter_context(self.hold_engine())
            claim = self._claim() if engine.is_loaded else None
            while claim is not None:
                claim = self._attempt(claim, engine, permit)

    def _claim(self) -> Claim | None:
        if self.is_stopping():
            return None
        begun_s = time.time()
        try:
            claim = self.ledger.claim(self.model)
        except Unavailable as error:
            _log.warning("Left what waits to be announced again: %s", error)
            return None
        if claim is not None:
            _trace_claim(claim, begun_s)
        return claim

    def _attempt(self, claim: Claim, engine: EngineHold, permit: ExitStack) -> Claim | None:
        """Make one attempt and settle its outcome; returns the claim on the join if that is next.

        Never raises: the worker must outlive any segment.
        """
        with log_context(**_log_values(claim)), _claim_span(claim):
            return self._settled_attempt(claim, engine, permit)

    def _settled_attempt(self, claim: Claim, engine: EngineHold, permit: ExitStack) -> Claim | None:
        try:
            with self.heartbeat.hold_lease(claim) as revoked:
                held = HeldClaim(claim, revoked, ledger=self.ledger, storage=self.storage)
                if not claim.is_join:
                    return self._run_segment(held, engine, permit)
                self._join(held)
        except StaleClaim:
            _log_dropped(claim)
        except CancelledError:
            # If the lease is lost already, the ledger refuses the release.
            self._release(claim, "the worker lets go of it")
        except (StepFailed, ObjectNotFound) as error:
            # The cause may be another request of the batch, or this worker's storage.
            self._abandon_attempt(claim, error)
        except StorageRefused as error:
            self._settle_refusal(claim, error)
        except (Unavailable, QueueFull, Closed) as error:
            self._release(claim, error)
        except Exception as error:  # noqa: BLE001 - the worker must outlive any segment
            _log.exception("Segment %s failed", claim.segment_id)
            with suppress(StaleClaim, Unavailable):
                self.ledger.fail(claim, "synthesis_failed", f"{type(error).__name__}: {error}")
        return None

    def _settle_refusal(self, claim: Claim, error: StorageRefused) -> None:
        """Abandon the attempt, since another worker's storage may be set up; fail the last one."""
        if claim.attempt < self.ledger.max_attempts:
            return self._abandon_attempt(claim, error)
        _log.error("Segment %s failed: %s", claim.segment_id, error)
        with suppress(StaleClaim, Unavailable):
            self.ledger.fail(claim, error.code, error.message)

    def _abandon_attempt(self, claim: Claim, reason: Exception) -> None:
        """Let the lease run out: the attempt counts, and the next one begins only then."""
        _log.warning("Leaving %s to another attempt: %s", claim.segment_id, reason)
        try:
            self.ledger.record_failure(claim, f"{type(reason).__name__}: {reason}")
        except StaleClaim:
            _log_dropped(claim)
        except Unavailable:
            _log.warning("The reason of %s is not kept: Redis is away", claim.segment_id)

    def _release(self, claim: Claim, reason: object) -> None:
        """Give the claim back at once; the attempt does not count."""
        _log.warning("Handing %s back: %s", claim.segment_id, reason)
        # Without Redis, the lease runs out and the segment is found by `reconcile`.
        with suppress(StaleClaim, Unavailable):
            self.ledger.release(claim, str(reason))

    def _run_segment(self, held: HeldClaim, engine: EngineHold, permit: ExitStack) -> Claim | None:
        """Synthesise, store and commit a segment; returns the claim on the join if that is next."""
        claim = held.claim
        with tracing.span("synthesise"):
            speech = self._synthesise(held, engine)
        permit.close()  # another segment is synthesised while this one is stored
        key = f"{segments_folder(claim.job_id)}/{claim.index}-{claim.epoch}.wav"
        with tracing.span("store"):
            held.put(key, encode_wav(speech.samples))
        with tracing.span("commit"):
            join = held.commit(_result(key, speech))
        self.heartbeat.note_speech(speech.audio_s)
        _log_speech(claim, speech)
        observe_speech(self.model, speech)
        return join

    def _synthesise(self, held: HeldClaim, engine: EngineHold) -> Speech:
        """Synthesise a segment; one that reaches its bound has one more try, with another seed."""
        claim, request = held.claim, _request(held)
        if claim.spec.live:
            # No second try with another seed: a listener already has the audio of the first.
            publication = self.live.begin(claim)
            speech = engine.submit(replace(request, on_frames=publication.add)).result()
            publication.end()
            return speech
        speech = engine.submit(request).result()
        if speech.finish_reason == "length" and _can_retry_seed(claim.spec):
            _log.warning("%s did not end by itself; another seed", claim.segment_id)
            speech = engine.submit(_with_next_seed(request)).result()
        return speech

    def _join(self, held: HeldClaim) -> None:
        """Join a job's segments and commit its audio."""
        job = self.ledger.job(held.claim.job_id)
        segments = list(self.ledger.spoken(job))

        def read(key: str) -> bytes:
            held.require()
            return self.storage.get(key)

        joined = held.retry(join_job, job, segments, held.claim.epoch, self.storage, read)
        result = SegmentResult(key=joined.key, samples=joined.samples)
        with tracing.span("commit"):
            held.commit(result, size_bytes=joined.size_bytes)
        _log.info("Completed job=%s segments=%d audio=%.2fs", job.id, job.total, job.audio_s)


def _request(held: HeldClaim) -> SynthesisRequest:
    """The engine's request of a segment, bounded by the frames that its text can take."""
    claim, spec, sampling = held.claim, held.claim.spec, held.claim.spec.sampling
    tokens = sampling.max_new_tokens
    return SynthesisRequest(
        task=spec.task,
        text=claim.text,
        # qwen-tts makes one frame less than it makes tokens.
        max_frames=tokens - 1 if tokens else frame_bound(claim.text, spec.language),
        language=spec.language,
        speaker=spec.voice,
        instruct=spec.instructions,
        reference=_decode(spec.reference, held.get(spec.reference.key)) if spec.reference else None,
        sampling=sampling.overrides(spec.seed),
        cancelled=held.revoked,
    )


def _decode(stored: StoredReference, content: bytes) -> Reference:
    """The reference of a clone, mixed down to one channel."""
    samples, rate = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
    key = f"{stored.digest}:{stored.text!r}"
    return Reference(key, samples.mean(axis=1), rate, stored.text, stored.voice)


def _can_retry_seed(spec: SpeechSpec) -> bool:
    """True if another seed can end a speech that reached its bound.

    Only if sampling is random and the bound is our default, not the client's.
    """
    sampling = spec.sampling
    is_greedy = sampling.do_sample is False and sampling.subtalker_dosample is False
    return sampling.max_new_tokens is None and not is_greedy


def _with_next_seed(request: SynthesisRequest) -> SynthesisRequest:
    """A copy with the next seed, so that a repeated job sounds equal; without a seed unchanged."""
    seed = request.sampling.seed
    if seed is None:
        return request
    return replace(request, sampling=replace(request.sampling, seed=(seed + 1) % 2**32))


def _result(key: str, speech: Speech) -> SegmentResult:
    return SegmentResult(
        key=key,
        samples=len(speech.samples),
        truncated=speech.finish_reason == "length",
        batch_size=speech.timings.batch_size,
    )


def _log_values(claim: Claim) -> dict[str, str]:
    """The context of all lines about a claim."""
    known = {"owner": claim.owner, "model": claim.spec.model, "request": claim.origin.request}
    values = {"job": claim.job_id, "segment": _place(claim), **known}
    return {name: value for name, value in values.items() if value}


def _claim_span(claim: Claim) -> AbstractContextManager[object]:
    """The span of an attempt, beneath that of the request which the job came from."""
    return tracing.span(
        "join" if claim.is_join else "segment",
        parent=claim.origin.traceparent,
        kind="consumer",
        tts__job=claim.job_id,
        tts__segment=_place(claim),
        tts__attempt=claim.attempt,
        tts__model=claim.spec.model,
    )


def _trace_claim(claim: Claim, begun_s: float) -> None:
    """Record the wait in the queue, by Redis's clock, and the claim, by this machine's."""
    parent = claim.origin.traceparent
    if parent and claim.attempt == 1:
        tracing.record("queue wait", claim.accepted_at, claim.epoch / 1_000, parent=parent)
    if parent:
        tracing.record("claim", begun_s, time.time(), parent=parent)


def _place(claim: Claim) -> str:
    return "join" if claim.is_join else str(claim.index)


def _log_dropped(claim: Claim) -> None:
    _log.warning("Dropped %s: it was cancelled, or another took over", claim.segment_id)


def _log_speech(claim: Claim, speech: Speech) -> None:
    wall_s = speech.timings.waiting_s + speech.timings.running_s
    _log.info(
        "Generated audio job=%s segment=%d audio=%.2fs wall=%.2fs RTF=%.2f batch=%d finish=%s",
        claim.job_id,
        claim.index,
        speech.audio_s,
        wall_s,
        wall_s / max(speech.audio_s, 0.08),  # never less than a frame
        speech.timings.batch_size,
        speech.finish_reason,
    )
