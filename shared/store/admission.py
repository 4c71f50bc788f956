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
from shared.errors import NotAdmitted, Unavailable, Unconfirmed
from shared.jobs import ADMITTING, JOB_VERSION, WEIGHTS, Outline, Priority, SpeechSpec
from shared.speech_model import SAMPLE_RATE
from shared.store import keys
from shared.store.connection import connect_briefly, redis_errors
from shared.store.limits import MIN_SEGMENT_CHARS, Idempotency, Limits, refusal
from shared.store.rows import write_range
from shared.store.scripts import load
from shared.store.webhooks import Webhook
from shared.text.durations import SAMPLES_PER_FRAME, expected_frames

# Segments of one step, which takes some 3 ms.
SEGMENTS_PER_STEP = 100
# Seconds after which a step is not begun any more: its caller gives up soon after.
BEGUN_WITHIN_S = 1.8
LOOK_WITHIN_S = 0.5
SAME_REQUEST_WITHIN_S, SAME_REQUEST_LOOK_S = 1.5, 0.05


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
    webhook: Webhook | None = None
    size_bytes: int = 0


class AdmissionOptions(TypedDict, total=False):
    """The fields of `NewJob` that most jobs lack."""

    idempotency: Idempotency | None
    batch: str | None
    name: str | None
    priority: Priority
    cancel_after_s: float | None
    webhook: Webhook | None
    size_bytes: int


class Admission:
    """The steps in Redis that admit a job."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._steps = {
            name: redis.register_script(load(name)) for name in ("admit", "admit_part", "abandon")
        }
        self._brief = connect_briefly(redis, LOOK_WITHIN_S)
        self._clock = _RedisClock()

    def close(self) -> None:
        """Close the connections of its own."""
        self._brief.close()

    def admit(self, job: NewJob, segments: Sequence[Segment]) -> str:
        """Accept a job of these segments; returns its id, or that of the same request before.

        Raises `Overloaded`, `QuotaExceeded`, `KeyReused`, `NotAdmitted` if nothing was accepted for
        sure, and `Unconfirmed` if Redis does not even say that.
        """
        rows = [_row(segment) for segment in segments]
        first, *rest = (
            rows[start : start + SEGMENTS_PER_STEP]
            for start in range(0, len(rows), SEGMENTS_PER_STEP)
        )
        try:
            outcome, detail = self._begin(job, _fields(job, segments, rows), first)
            if outcome == "stopped":
                # The process that began the same request has died.
                self._abandon(str(detail))
                outcome, detail = self._begin(job, _fields(job, segments, rows), first)
            if outcome in ("accepted", "known") and detail == job.id:
                self._add(job.id, rest)
        except Unavailable as error:
            self._settle(job.id, error)
            return job.id
        if outcome in ("accepted", "known"):
            return str(detail)
        if outcome == ADMITTING:
            return self._same_request(str(detail))
        raise refusal(outcome, detail, job.limits)

    def _begin(self, job: NewJob, fields: dict[str, Any], rows: list[Row]) -> Any:
        rest = [job.spec.model_dump_json(), job.outline.model_dump_json(), *_flat(rows)]
        return self._in_time(lambda by: self._run("admit", json.dumps({**fields, "by": by}), *rest))

    def _add(self, job_id: str, parts: list[list[Row]]) -> None:
        for number, rows in enumerate(parts, 1):
            reply, _ = self._in_time(
                partial(self._add_part, job_id, number * SEGMENTS_PER_STEP, rows)
            )
            if reply == "gone":
                raise Unavailable("its admission took too long and was given up")

    def _add_part(self, job_id: str, place: int, rows: list[Row], by: float) -> Any:
        return self._run("admit_part", job_id, by, place, *_flat(rows))

    def _run(self, name: str, *args: str | float) -> Any:
        with redis_errors():
            return self._steps[name](args=list(args))

    def _in_time(self, step: Callable[[float], Any]) -> tuple[str, Any]:
        """The outcome of a step that is begun in time, or not at all, and what belongs to it.

        `step` takes the time, by Redis's clock, after which it is not begun.
        """
        for _ in range(2):
            if self._clock.is_unknown:
                self._ask_the_time()
            outcome, detail, time_s = step(self._clock.now_s() + BEGUN_WITHIN_S)
            self._clock.set(float(time_s))
            if outcome != "late":
                return outcome, detail
        raise _NotBegun("Redis is too busy to accept it; try again shortly")

    def _ask_the_time(self) -> None:
        with redis_errors():
            seconds, micros = self._redis.time()
        self._clock.set(seconds + micros / 1e6)

    def _settle(self, job_id: str, error: Unavailable) -> None:
        """Return if a job was accepted although a step had no answer; else raise what is known."""
        # A step that is on its way may still be begun; one that Redis has refused may not.
        refused = isinstance(error, _NotBegun) or isinstance(error.__cause__, ResponseError)
        ends_s = 0 if refused else time.monotonic() + BEGUN_WITHIN_S
        try:
            status = self._status(job_id)
            while status is None and time.monotonic() < ends_s:
                time.sleep(0.1)
                status = self._status(job_id)
            if status == ADMITTING:
                status = self._abandon(job_id)
        except Unavailable:
            said = f"should the job have been accepted all the same, its id is {job_id}"
            raise Unconfirmed(f"{error.message}; {said}", job_id) from error
        if status is None:
            raise NotAdmitted(f"{error.message}; nothing was accepted") from error

    def _abandon(self, job_id: str) -> str | None:
        """Give an admission up; returns the job's status if it was accepted."""
        with redis_errors():
            status: Any = self._steps["abandon"](args=[job_id], client=self._brief)
        return None if status is None else str(status)

    def _status(self, job_id: str) -> str | None:
        with redis_errors():
            status: Any = self._brief.hget(keys.job(job_id), "status")
        return None if status is None else str(status)

    def _same_request(self, job_id: str) -> str:
        """The id of a job that another caller is admitting, once it is accepted."""
        ends_s = time.monotonic() + SAME_REQUEST_WITHIN_S
        while time.monotonic() < ends_s:
            status = self._status(job_id)
            if status is None:
                break
            if status != ADMITTING:
                return job_id
            time.sleep(SAME_REQUEST_LOOK_S)
        raise NotAdmitted("the same request is being accepted just now: send it again shortly")


class _NotBegun(Unavailable):
    """Raised when Redis has said that a step came too late."""


class _RedisClock:
    """Redis's time as far as it is known here; its clock may be another than this machine's."""

    def __init__(self) -> None:
        self._ahead_s: float | None = None

    @property
    def is_unknown(self) -> bool:
        """True until Redis has said what time it is."""
        return self._ahead_s is None

    def set(self, now_s: float) -> None:
        """Take what Redis has just said."""
        self._ahead_s = now_s - time.monotonic()

    def now_s(self) -> float:
        """Redis's time in Unix seconds."""
        return time.monotonic() + (self._ahead_s or 0)


class Row(NamedTuple):
    """A segment as the steps take it."""

    text: str
    place: str
    frames: int


def _row(segment: Segment) -> Row:
    return Row(segment.text, write_range(segment), expected_frames(segment.text))


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
        "webhook": job.webhook and job.webhook.model_dump_json(),
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
