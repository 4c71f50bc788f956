"""The ledger: every job and segment, and each change of their state as one step in Redis.

Redis keeps the time: workers' clocks do not matter.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Unpack, cast

from pydantic import ValidationError
from redis import Redis

from shared.broker import queue_name
from shared.document import Segment
from shared.errors import JobNotFound, StaleClaim
from shared.jobs import (
    JOB_VERSION,
    NO_OUTLINE,
    PUBLIC,
    TERMINAL,
    Claim,
    Job,
    Origin,
    Outline,
    SegmentResult,
    SegmentState,
    SpeechSpec,
    SpokenSegment,
    progress_mark,
    segment_id,
)
from shared.store import keys
from shared.store.admission import Admission, AdmissionOptions, NewJob
from shared.store.connection import older_than, redis_errors
from shared.store.history import History, read_history
from shared.store.limits import UNLIMITED, Limits
from shared.store.pauses import paused_models
from shared.store.rows import SPOKEN_FIELDS, read_job, read_spoken
from shared.store.scripts import Steps
from shared.store.workers import MAX_PRESENCE_S, count_workers

STATE_FIELDS = ("status", "result_key", "error_code", "error_message")
PAGE_SIZE = 500
# Seconds for which a job that no worker can read waits for one of another version.
UNREADABLE_TTL_S = 24 * 3_600
MAX_RECONCILE_STEPS = 40
# Seconds for which listeners are counted: longer than any of them waits.
LISTENERS_TTL_S = 6 * 3_600
_log = logging.getLogger(__name__)


class Ledger:
    """Jobs and segments in Redis; safe to share between threads.

    `worker` is the id of the claiming process; `replicas` is how many of Redis's have a job before
    it counts as accepted. Every method raises `Unavailable` while Redis is
    away.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        lease_s: float,
        max_attempts: int,
        worker: str = "",
        replicas: int = 0,
    ) -> None:
        self._redis = redis
        self._lease_s = lease_s
        self.max_attempts = max_attempts
        self._worker = worker
        self._steps = Steps(redis)
        self._admission = Admission(redis, replicas)

    def close(self) -> None:
        """Close the connections that are the ledger's own."""
        self._admission.close()

    def admit(
        self,
        job_id: str,
        spec: SpeechSpec,
        segments: Sequence[Segment],
        *,
        outline: Outline = NO_OUTLINE,
        owner: str = PUBLIC,
        limits: Limits = UNLIMITED,
        **options: Unpack[AdmissionOptions],
    ) -> Job | str:
        """Accept a job of these segments; from here on it will end, one way or another.

        Returns it, or the id of the job if the same request was accepted before. Raises
        `Overloaded`, `QuotaExceeded`, `WaitTooLong`, `KeyReused` or, if nothing was accepted,
        `NotAdmitted`.
        """
        job = NewJob(job_id, spec, outline, owner, limits, **options)
        return self._admission.admit(job, segments)

    def claim(self, model: str) -> Claim | None:
        """Take the next segment or join of a model for one lease; None when nothing waits."""
        # If the answer is lost with its connection, the retry asks the same question again.
        question = secrets.token_hex(8)
        return self._claimed(
            self._steps.run("claim", model, self._worker, self._lease_s, question, JOB_VERSION)
        )

    def _claimed(self, reply: list[Any] | None) -> Claim | None:
        if not reply:
            return None
        segment, epoch, attempt, text, spec, owner, accepted_at, request, traceparent = reply
        try:
            read = SpeechSpec.model_validate_json(spec)
        except ValidationError:
            # A worker of the version that wrote it can, if one is left.
            _log.warning("Handed %s back: another version has written its job", segment)
            self._steps.run("unreadable", segment, epoch, self.max_attempts, UNREADABLE_TTL_S)
            return None
        return Claim(
            segment_id=segment,
            epoch=epoch,
            attempt=attempt,
            text=text,
            spec=read,
            owner=owner,
            accepted_at=accepted_at,
            origin=Origin(request=request, traceparent=traceparent),
        )

    def renew(self, claims: Iterable[Claim]) -> list[Claim]:
        """Extend the leases of these claims; returns those that no longer hold."""
        held = {(claim.segment_id, claim.epoch): claim for claim in claims}
        pairs = [part for key in held for part in key]
        lost = self._steps.run("renew", self._lease_s, *pairs) if pairs else []
        return [held[segment, int(epoch)] for segment, epoch in _pairs(lost)]

    def commit(self, claim: Claim, result: SegmentResult, *, size_bytes: int = 0) -> Claim | None:
        """Record a result, once; returns a claim on the join if it was the job's last segment.

        Raises `StaleClaim` if another epoch has taken over, or the job has ended.
        """
        reply = self._steps.run(
            "commit",
            claim.segment_id,
            claim.epoch,
            self._worker,
            self._lease_s,
            result.key,
            result.samples,
            int(result.truncated),
            result.batch_size,
            size_bytes,
        )
        if reply is None:
            raise StaleClaim(f"{claim.segment_id} epoch {claim.epoch} is no longer held")
        return self._claimed(reply)

    def fail(self, claim: Claim, code: str, message: str) -> None:
        """End the segment and its job as failed; raises `StaleClaim` if another took over."""
        self._fenced("fail", claim, code, message)

    def release(self, claim: Claim, reason: str = "") -> None:
        """Hand a segment back untouched; raises `StaleClaim` if another took over."""
        self._fenced("release", claim, self.max_attempts, reason)

    def record_failure(self, claim: Claim, reason: str) -> None:
        """Say what went wrong in this attempt, which ends when its lease does.

        After the last one it is the job's error. Raises `StaleClaim` if another took over.
        """
        self._fenced("record_failure", claim, reason)

    def _fenced(self, name: str, claim: Claim, *args: str | int) -> None:
        if not self._steps.run(name, claim.segment_id, claim.epoch, *args):
            raise StaleClaim(f"{claim.segment_id} epoch {claim.epoch} is no longer held")

    def cancel(self, job_id: str) -> bool:
        """End a job as cancelled; False if it had ended before. Raises `JobNotFound`."""
        return self._cancel(job_id)

    def cancel_unbegun(self, job_id: str) -> bool:
        """Cancel a job of which no segment was begun; False if one was, or the job has ended."""
        return self._cancel(job_id, "unbegun")

    def withdraw(self, job_id: str) -> bool:
        """Cancel a job whose id no client has, as if its request had never been sent."""
        return self._cancel(job_id, "all")

    def _cancel(self, job_id: str, what: str = "") -> bool:
        ended = self._steps.run("cancel", job_id, what)
        if ended is None:
            raise _unknown(job_id)
        return bool(ended)

    def add_listener(self, job_id: str) -> None:
        """Count one more listener of a job that is being spoken."""
        self._steps.run("add_listener", job_id, LISTENERS_TTL_S)

    def cancel_if_abandoned(self, job_id: str) -> bool:
        """Count one listener less; cancel the job after its last one, without a refund.

        The same request sent again is another job. Returns whether that ended it.
        """
        if self.remove_listener(job_id) > 0:
            return False
        try:
            return self._cancel(job_id, "key")
        except JobNotFound:
            return False

    def remove_listener(self, job_id: str) -> int:
        """Count one listener less, which has received everything; returns how many are left."""
        return int(self._steps.run("remove_listener", job_id))

    def reconcile(self, *, limit: int = 50) -> list[tuple[str, int]]:
        """Take back overdue leases; returns (model, messages that are missing in its queue).

        One step deals with up to `limit` entries of a kind, and one call takes up to
        `MAX_RECONCILE_STEPS`.
        """
        for _ in range(MAX_RECONCILE_STEPS):
            goes_on, *reply = self._steps.run("reconcile", self.max_attempts, limit, self._lease_s)
            if not goes_on:
                break
        return [(model, int(missing)) for model, missing in _pairs(reply)]

    def messages(self, model: str) -> int:
        """The number of messages in a model's queue."""
        with redis_errors():
            return self._redis.llen(queue_name(model))

    def waiting(self, models: Sequence[str]) -> dict[str, int]:
        """The number of segments and joins that wait for each model; 0 for a paused one."""
        with redis_errors():
            counts = cast("list[str | None]", self._redis.hmget(keys.QUEUES, list(models)))
        paused = paused_models(self._redis)
        return {
            model: 0 if model in paused else int(count or 0)
            for model, count in zip(models, counts, strict=True)
        }

    def expired(self, ttl_s: float, *, limit: int = 100) -> list[str]:
        """Jobs that ended more than `ttl_s` seconds ago, the oldest first."""
        return older_than(self._redis, keys.ENDED, ttl_s, limit)

    def with_leftovers(self, grace_s: float, *, limit: int = 100) -> list[str]:
        """Jobs that ended more than `grace_s` seconds ago and may have files of segments left."""
        return older_than(self._redis, keys.LEFTOVERS, grace_s, limit)

    def leftovers_deleted(self, job_id: str) -> None:
        """Note that no segment's file is left of an ended job."""
        with redis_errors():
            self._redis.zrem(keys.LEFTOVERS, job_id)

    def forget(self, job_id: str) -> bool:
        """Delete all records of an ended job, a part at a time; False if it has not ended.

        From the first part on the job is not there; what a caller that dies leaves is deleted by
        reconciling.
        """
        left = self._steps.run("delete_job", job_id)
        while left > 0:
            left = self._steps.run("delete_job", job_id)
        return bool(left == 0)

    def forgotten(self, grace_s: float = 0, *, limit: int = 100) -> list[str]:
        """Jobs forgotten more than `grace_s` seconds ago, whose files may still be there."""
        return older_than(self._redis, keys.FORGOTTEN, grace_s, limit)

    def files_deleted(self, job_id: str) -> None:
        """Note that nothing is left of a forgotten job."""
        with redis_errors(), self._redis.pipeline(transaction=False) as pipe:
            pipe.unlink(keys.history(job_id))  # left by a process of a version without histories
            pipe.zrem(keys.FORGOTTEN, job_id)
            pipe.execute()

    def job(self, job_id: str) -> Job:
        """The job as it stands; raises `JobNotFound`."""
        job = self._look(job_id)
        if not job.is_overdue:
            return job
        self._steps.run("expire_deadline", job_id)  # perhaps no worker is there to do so
        return self._look(job_id)

    def _look(self, job_id: str) -> Job:
        found = self._steps.run("read_job", job_id, MAX_PRESENCE_S)
        if found is None:
            raise _unknown(job_id)
        return read_job(json.loads(found))

    def history(self, job_id: str, first: int = 0) -> History:
        """The history of a job from entry number `first` on; empty if there is no such job."""
        return read_history(self._redis, job_id, first)

    def marks(self, job_ids: Sequence[str]) -> Iterator[str | None]:
        """The `Job.mark` of each of these jobs in order, None where there is no job."""
        for first in range(0, len(job_ids), PAGE_SIZE):
            with redis_errors(), self._redis.pipeline(transaction=False) as pipe:
                for job_id in job_ids[first : first + PAGE_SIZE]:
                    pipe.hmget(keys.job(job_id), "completed", "status", "model")
                rows = pipe.execute()
            workers = count_workers(self._redis, {model for *_, model in rows if model})
            paused = paused_models(self._redis)
            for completed, status, model in rows:
                is_open = status not in TERMINAL
                waits, is_paused = is_open and workers.get(model) == 0, is_open and model in paused
                yield (
                    progress_mark(completed or 0, status, waits=waits, paused=is_paused)
                    if status
                    else None
                )

    def named(self, owner: str, name: str) -> str | None:
        """The id of the job to which an owner has given a name."""
        with redis_errors():
            found = self._redis.hget(keys.idempotency(owner, name_key(name)), "job")
        return cast("str | None", found)

    def segment(self, job_id: str, index: int) -> SegmentState:
        """The state of a job's segment; raises `JobNotFound`."""
        with redis_errors(), self._redis.pipeline(transaction=False) as pipe:
            pipe.hmget(keys.segment(segment_id(job_id, index)), "key", "range")
            pipe.hmget(keys.job(job_id), STATE_FIELDS)
            (key, range_), (status, result_key, error_code, error_message) = pipe.execute()
        if status is None or range_ is None:
            raise _unknown(job_id)
        return SegmentState(
            job_status=status,
            result_key=result_key,
            error_code=error_code,
            error_message=error_message,
            key=key,
            pause_s=float(range_.split()[2]),
        )

    def spoken(self, job: Job) -> Iterator[SpokenSegment]:
        """The segments of a job in order, some hundreds at a time; all must be completed."""
        for first in range(0, job.total, PAGE_SIZE):
            with redis_errors(), self._redis.pipeline(transaction=False) as pipe:
                for index in range(first, min(first + PAGE_SIZE, job.total)):
                    pipe.hmget(keys.segment(segment_id(job.id, index)), SPOKEN_FIELDS)
                rows = pipe.execute()
            yield from map(read_spoken, rows)


def name_key(name: str) -> str:
    """The idempotency key of a job to which its client gives a name."""
    return f"name:{name}"


def _unknown(job_id: str) -> JobNotFound:
    return JobNotFound(f"no job {job_id!r}", param="job_id")


def _pairs(flat: Sequence[str]) -> Iterator[tuple[str, str]]:
    return zip(flat[::2], flat[1::2], strict=True)
