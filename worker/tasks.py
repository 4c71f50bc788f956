"""From a Celery message to a committed result: translation between ledger and engine, no more."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import CancelledError
from contextlib import ExitStack, suppress
from dataclasses import replace
from threading import Event, Semaphore

from shared.audio import encode_wav
from shared.errors import ObjectNotFound, StaleClaim, StorageRefused, Unavailable
from shared.jobs import Claim, SegmentResult
from shared.storage import Storage
from shared.storage_paths import segments_folder
from shared.store.ledger import Ledger
from worker.engine.engine import Engine
from worker.engine.errors import Closed, QueueFull, StepFailed
from worker.engine.request import Speech, SynthesisRequest
from worker.insist import insist
from worker.joining import join_job
from worker.lease import Heartbeat
from worker.live import Live
from worker.requests import has_another_chance, request_of, with_another_seed

_log = logging.getLogger(__name__)


class SegmentTask:
    """What a worker does when a message says that something waits for `model`.

    The ledger says what is next: a message that is repeated, late or lost costs only a look at it.
    No more than `at_once` segments are claimed and not yet spoken, and none once `is_stopping`.
    """

    def __init__(
        self,
        model: str,
        *,
        ledger: Ledger,
        storage: Storage,
        engine: Engine,
        heartbeat: Heartbeat,
        live: Live,
        at_once: int,
        is_stopping: Callable[[], bool],
    ) -> None:
        self._model = model
        self._ledger = ledger
        self._storage = storage
        self._engine = engine
        self._heartbeat = heartbeat
        self._live = live
        self._places = Semaphore(at_once)
        self._is_stopping = is_stopping

    def __call__(self) -> None:
        """Do the next segment, and the join if it was the job's last."""
        self._heartbeat.consumed()
        with ExitStack() as place:
            # As late as can be: what is claimed is next, whatever else comes in the meantime.
            place.enter_context(self._places)
            claim = self._claim()
            while claim is not None:
                claim = self._attempt(claim, place)

    def _claim(self) -> Claim | None:
        if self._is_stopping():
            return None
        try:
            return self._ledger.claim(self._model)
        except Unavailable as error:
            _log.warning("Left what waits to be announced again: %s", error)
            return None

    def _attempt(self, claim: Claim, place: ExitStack) -> Claim | None:
        """One attempt, whatever happens; returns the claim on the join that follows, if any."""
        try:
            with self._heartbeat.holding(claim) as lost:
                if claim.is_join:
                    return self._join(claim, lost)
                return self._speak(claim, lost, place)
        except StaleClaim:
            _log_dropped(claim)
        except CancelledError:
            # Of what is lost already, the ledger takes nothing back.
            self._release(claim, "the worker lets go of it")
        except (StepFailed, ObjectNotFound) as error:
            # Perhaps a neighbour's fault, or a storage that is not itself: another may do better.
            self._leave(claim, error)
        except StorageRefused as error:
            self._refused(claim, error)
        except (Unavailable, QueueFull, Closed) as error:
            self._release(claim, error)
        except Exception as error:  # noqa: BLE001 - the worker must outlive any segment
            _log.exception("Segment %s failed", claim.segment_id)
            with suppress(StaleClaim, Unavailable):
                self._ledger.fail(claim, "synthesis_failed", f"{type(error).__name__}: {error}")
        return None

    def _refused(self, claim: Claim, error: StorageRefused) -> None:
        """Leave it to another attempt, perhaps of a worker that is set up well; fail the last."""
        if claim.attempt < self._ledger.max_attempts:
            return self._leave(claim, error)
        _log.error("Segment %s failed: %s", claim.segment_id, error)
        with suppress(StaleClaim, Unavailable):
            self._ledger.fail(claim, error.code, error.message)

    def _leave(self, claim: Claim, reason: Exception) -> None:
        """Let the lease run out: the attempt counts, and the next one is not at once."""
        _log.warning("Leaving %s to another attempt: %s", claim.segment_id, reason)
        try:
            self._ledger.record_failure(claim, f"{type(reason).__name__}: {reason}")
        except StaleClaim:
            _log_dropped(claim)
        except Unavailable:
            _log.warning("The reason of %s is not kept: Redis is away", claim.segment_id)

    def _release(self, claim: Claim, reason: object) -> None:
        _log.warning("Handing %s back: %s", claim.segment_id, reason)
        # If the ledger is what is away, the lease runs out and the segment is found.
        with suppress(StaleClaim, Unavailable):
            self._ledger.release(claim)

    def _speak(self, claim: Claim, lost: Event, place: ExitStack) -> Claim | None:
        speech = self._say(claim, lost)
        place.close()  # another may be spoken while this one is stored
        key = f"{segments_folder(claim.job_id)}/{claim.index}-{claim.epoch}.wav"
        content = encode_wav(speech.samples)
        insist(lambda: self._storage.put(key, content), lost)
        join = insist(lambda: self._ledger.commit(claim, _result(key, speech)), lost)
        _log_speech(claim, speech)
        return join

    def _say(self, claim: Claim, lost: Event) -> Speech:
        """Speak a segment; one that does not find its end has a second chance, by another seed."""
        asked = insist(lambda: request_of(claim, self._storage, lost), lost)
        if claim.spec.live:
            return self._say_live(claim, asked)
        speech = self._engine.submit(asked).result()
        if speech.finish_reason == "length" and has_another_chance(claim.spec):
            _log.warning("%s did not end by itself; another seed", claim.segment_id)
            speech = self._engine.submit(with_another_seed(asked)).result()
        return speech

    def _say_live(self, claim: Claim, asked: SynthesisRequest) -> Speech:
        """Speak to a listener: what was heard cannot be taken back, so no other seed follows."""
        heard = self._live.begin(claim)
        speech = self._engine.submit(replace(asked, on_frames=heard.add)).result()
        heard.end()
        return speech

    def _join(self, claim: Claim, lost: Event) -> Claim | None:
        job = self._ledger.job(claim.job_id)
        segments = list(self._ledger.spoken(job))

        def read(key: str) -> bytes:
            if lost.is_set():
                raise CancelledError
            return self._storage.get(key)

        joined = insist(lambda: join_job(job, segments, claim.epoch, self._storage, read), lost)
        result = SegmentResult(key=joined.key, samples=joined.samples)
        insist(lambda: self._ledger.commit(claim, result, size_bytes=joined.size_bytes), lost)
        _log.info("Completed job=%s segments=%d audio=%.2fs", job.id, job.total, job.audio_s)
        return None


def _result(key: str, speech: Speech) -> SegmentResult:
    return SegmentResult(
        key=key,
        samples=len(speech.samples),
        truncated=speech.finish_reason == "length",
        batch_size=speech.timings.batch_size,
    )


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
