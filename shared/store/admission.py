"""Admission of a job to the ledger: its record first, its segments a part at a time.

In one step, a job of 100,000 segments would hold Redis for seconds. No worker sees it before its
last segment is there.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple, TypedDict

from redis import Redis
from redis.exceptions import ResponseError

from shared.document import Segment
from shared.durations import SAMPLES_PER_FRAME, expected_frames
from shared.errors import NotAdmitted, Unavailable, Unconfirmed
from shared.jobs import (
    ADMITTING,
    JOB_VERSION,
    NO_ORIGIN,
    WEIGHTS,
    Job,
    Origin,
    Outline,
    Priority,
    SpeechSpec,
    Status,
)
from shared.speech_model import SAMPLE_RATE
from shared.store import keys
from shared.store.connection import connect_briefly, redis_errors, server_time_s
from shared.store.limits import MIN_SEGMENT_CHARS, Idempotency, Limits, refusal
from shared.store.redis_state import PROBE_TTL_S
from shared.store.rows import write_range
from shared.store.scripts import Steps
from shared.store.webhooks import Webhook

# Segments of one step, which takes some 3 ms.
SEGMENTS_PER_STEP = 100
# Seconds after which a step is not begun any more: its caller gives up soon after.
STEP_START_TIMEOUT_S = 1.8
LOOK_TIMEOUT_S = 0.5
# Seconds that an accepted job has to reach the replicas that TTS_REDIS_REPLICAS asks for.
REPLICAS_TIMEOUT_S = 1.0
UNCONFIRMED = "should the job have been accepted all the same, its id is {}"
SAME_REQUEST_TIMEOUT_S, SAME_REQUEST_POLL_INTERVAL_S = 1.5, 0.05
# Fields of a job that Redis decides, in the order in which `lua/admit.lua` returns them.
TIME_FIELDS = ("created_at", "cancel_at")


class NewJob(NamedTuple):
    """A job that is to be admitted, but for its segments."""

    id: str
    spec: SpeechSpec
    outline: Outline
    owner: str
    limits: Limits
    idempotency: Idempotency | None = None
    batch: str | None = None
    name: str | None = None
    priority: Priority = Priority.NORMAL
    cancel_after_s: float | None = None
    begin_within_s: float | None = None
    webhook: Webhook | None = None
    size_bytes: int = 0
    origin: Origin = NO_ORIGIN


class AdmissionOptions(TypedDict, total=False):
    """The fields of `NewJob` that most jobs lack."""

    idempotency: Idempotency | None
    batch: str | None
    name: str | None
    priority: Priority
    cancel_after_s: float | None
    begin_within_s: float | None
    webhook: Webhook | None
    size_bytes: int
    origin: Origin


class Admission:
    """The steps in Redis that admit a job."""

    def __init__(self, redis: Redis, replicas: int = 0) -> None:
        self._redis = redis
        self._replicas = replicas
        self._steps = Steps(redis)
        self._brief = connect_briefly(redis, LOOK_TIMEOUT_S)
        self._clock = _RedisClock()

    def close(self) -> None:
        """Close the connections of its own."""
        self._brief.close()

    def admit(self, job: NewJob, segments: Sequence[Segment]) -> Job | str:
        """Accept a job of these segments; returns it, or the id of the same request before.

        Raises `Overloaded`, `QuotaExceeded`, `WaitTooLong` or `KeyReused`; `NotAdmitted` if
        certainly nothing was accepted; and `Unconfirmed` if Redis is away and that is unknown, or
        too few of its replicas have the job.
        """
        admitted = self._admit(job, segments)
        if self._replicas:
            self._wait_for_replicas(admitted if isinstance(admitted, str) else admitted.id)
        return admitted

    def _wait_for_replicas(self, job_id: str) -> None:
        """Return once the replicas have an admitted job; raises `Unconfirmed`."""
        try:
            # On one connection, so to one server: that which has the job is asked for its replicas.
            with redis_errors(), self._redis.pipeline(transaction=False) as pipe:
                pipe.hexists(keys.job(job_id), "status")
                pipe.set(keys.PROBE, job_id, ex=PROBE_TTL_S)  # WAIT is for writes of a connection
                pipe.wait(self._replicas, int(REPLICAS_TIMEOUT_S * 1_000))
                is_there, _, replicas = pipe.execute()
        except Unavailable as error:
            raise Unconfirmed(f"{error.message}; {UNCONFIRMED.format(job_id)}", job_id) from error
        if not is_there or replicas < self._replicas:
            said = f"{replicas} of {self._replicas} replicas of Redis have the job"
            raise Unconfirmed(f"{said}; {UNCONFIRMED.format(job_id)}", job_id)

    def _admit(self, job: NewJob, segments: Sequence[Segment]) -> Job | str:
        rows = [
            Row(segment.text, write_range(segment), expected_frames(segment.text))
            for segment in segments
        ]
        first, *rest = (
            rows[start : start + SEGMENTS_PER_STEP]
            for start in range(0, len(rows), SEGMENTS_PER_STEP)
        )
        try:
            reply = self._begin(job, _fields(job, segments, rows), first)
            if reply.outcome == "stopped":
                # The process that began the same request has died.
                self._abandon(str(reply.detail))
                reply = self._begin(job, _fields(job, segments, rows), first)
            if reply.is_accepted and reply.detail == job.id:
                self._add(job.id, rest)
                return self._admitted(job, len(segments), reply.times)
        except Unavailable as error:
            return self._admitted(job, len(segments), self._settle(job.id, error))
        if reply.is_accepted:
            return str(reply.detail)
        if reply.outcome == ADMITTING:
            return self._same_request(str(reply.detail))
        raise refusal(reply.outcome, reply.detail, job.limits)

    def _admitted(self, job: NewJob, total: int, times: Sequence[str | None]) -> Job:
        """The job as it stands in the ledger now; `times` are those that Redis has given it."""
        return Job.model_validate(
            {
                "id": job.id,
                "owner": job.owner,
                "name": job.name,
                "priority": job.priority,
                "status": Status.QUEUED,
                "spec": job.spec,
                "outline": job.outline,
                "seen_at": self._clock.now_s(),
                **dict(zip(TIME_FIELDS, times, strict=True)),
                "total": total,
                "webhook": job.webhook and job.webhook.url,
            }
        )

    def _begin(self, job: NewJob, fields: dict[str, Any], rows: list[Row]) -> _Reply:
        rest = [job.spec.model_dump_json(), job.outline.model_dump_json(), *_flat(rows)]
        return self._in_time(
            lambda by: self._steps.run("admit", json.dumps({**fields, "by": by}), *rest)
        )

    def _add(self, job_id: str, parts: list[list[Row]]) -> None:
        step = partial(self._steps.run, "admit_part", job_id)
        for number, rows in enumerate(parts, 1):
            reply = self._in_time(step, number * SEGMENTS_PER_STEP, *_flat(rows))
            if reply.outcome == "gone":
                raise Unavailable("its admission took too long and was given up")

    def _in_time(self, step: Callable[..., Any], *args: str | int) -> _Reply:
        """The reply of a step that is begun in time, or not at all.

        `step` takes the time, by Redis's clock, after which it is not begun, and then `args`.
        """
        for _ in range(2):
            if self._clock.is_unknown:
                with redis_errors():
                    self._clock.set(server_time_s(self._redis))
            reply = _Reply(*step(self._clock.now_s() + STEP_START_TIMEOUT_S, *args))
            self._clock.set(float(reply.time_s))
            if reply.outcome != "late":
                return reply
        raise _NotBegun("Redis is too busy to accept it; try again shortly")

    def _settle(self, job_id: str, error: Unavailable) -> list[str | None]:
        """The times of a job that was accepted although a step had no answer.

        Raises `NotAdmitted` if it was not, and `Unconfirmed` if that is unknown.
        """
        # A step that is on its way may still be begun; one that Redis has refused may not.
        refused = isinstance(error, _NotBegun) or isinstance(error.__cause__, ResponseError)
        ends_s = 0 if refused else time.monotonic() + STEP_START_TIMEOUT_S
        try:
            status, *times = self._look(job_id)
            while status is None and time.monotonic() < ends_s:
                time.sleep(0.1)
                status, *times = self._look(job_id)
            if status == ADMITTING:
                status = self._abandon(job_id)
        except Unavailable:
            raise Unconfirmed(f"{error.message}; {UNCONFIRMED.format(job_id)}", job_id) from error
        if status is None:
            raise NotAdmitted(f"{error.message}; nothing was accepted") from error
        return times

    def _abandon(self, job_id: str) -> str | None:
        """Give an admission up; returns the job's status if it was accepted."""
        status = self._steps.run("abandon", job_id, client=self._brief)
        return None if status is None else str(status)

    def _look(self, job_id: str) -> list[str | None]:
        """The status of a job, then its times; None for each that it does not have."""
        with redis_errors():
            found: Any = self._brief.hmget(keys.job(job_id), ["status", *TIME_FIELDS])
        return list(found)

    def _same_request(self, job_id: str) -> str:
        """The id of a job that another caller is admitting, once it is accepted."""
        ends_s = time.monotonic() + SAME_REQUEST_TIMEOUT_S
        while time.monotonic() < ends_s:
            status = self._look(job_id)[0]
            if status is None:
                break
            if status != ADMITTING:
                return job_id
            time.sleep(SAME_REQUEST_POLL_INTERVAL_S)
        raise NotAdmitted("the same request is being accepted just now: send it again shortly")


class _Reply(NamedTuple):
    """The reply of a step; with the values of `TIME_FIELDS` if `admit` has accepted the job."""

    outcome: str
    detail: str | int
    time_s: str
    times: Sequence[str | None] = ()

    @property
    def is_accepted(self) -> bool:
        """True if the job is in the ledger: from this request or the same one before."""
        return self.outcome in ("accepted", "known")


class _NotBegun(Unavailable):
    """Raised when Redis has said that a step came too late."""


class _RedisClock:
    """An estimate of Redis's time; its clock may differ from this machine's."""

    def __init__(self) -> None:
        self._ahead_s: float | None = None

    @property
    def is_unknown(self) -> bool:
        """True until `set` is called."""
        return self._ahead_s is None

    def set(self, now_s: float) -> None:
        """Set the clock to a time that Redis has just returned."""
        self._ahead_s = now_s - time.monotonic()

    def now_s(self) -> float:
        """Redis's time in Unix seconds."""
        return time.monotonic() + (self._ahead_s or 0)


class Row(NamedTuple):
    """A segment as the steps take it."""

    text: str
    range: str
    frames: int


def _flat(rows: list[Row]) -> Iterator[str | int]:
    return (part for row in rows for part in row)


def _fields(job: NewJob, segments: Sequence[Segment], rows: list[Row]) -> dict[str, Any]:
    """The job's fields as `lua/admit.lua` takes them."""
    limits = job.limits
    frames = sum(row.frames for row in rows)
    pauses_s = sum(segment.pause_s for segment in segments)
    given = {
        "batch": job.batch,
        "name": job.name,
        "cancel_after_s": job.cancel_after_s,
        "begin_within_s": job.begin_within_s,
        "webhook": job.webhook and job.webhook.model_dump_json(),
        **job.origin.model_dump(),
    }
    return {
        "id": job.id,
        "owner": job.owner,
        "model": job.spec.model,
        "total": len(segments),
        "chars": sum(max(MIN_SEGMENT_CHARS, len(segment.text)) for segment in segments),
        "bytes": job.size_bytes,
        "reserved": frames * SAMPLES_PER_FRAME + int(pauses_s * SAMPLE_RATE),
        "limits": limits._asdict() | {"day_samples": limits.day_audio_s * SAMPLE_RATE},
        "priority": job.priority,
        "weight": WEIGHTS[job.priority],
        "version": JOB_VERSION,
        **(job.idempotency._asdict() if job.idempotency else {}),
        **{name: value for name, value in given.items() if value is not None},
    }
