"""The facts of single segments, such as those that workers hold, for operators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from redis import Redis

from shared.jobs import Status, job_of, number_of
from shared.records import Record
from shared.store import keys
from shared.store.connection import redis_errors

# Leases that are read at the most: more segments than any one Redis serves at once.
MAX_LEASES = 10_000
FIELDS = ("status", "attempts", "worker", "epoch", "reason", "text")


class SegmentFacts(Record):
    """A segment as it stands; `since` is when its last claim was made, in Unix seconds."""

    id: str
    job: str
    status: Status
    attempts: int
    worker: str | None
    since: float | None
    reason: str | None
    text: str

    @property
    def number(self) -> str:
        """Its number in its job, or `join`."""
        return number_of(self.id)


def read_segments(redis: Redis, ids: Sequence[str]) -> list[SegmentFacts]:
    """The segments of these ids that are there; raises `Unavailable`."""
    with redis_errors(), redis.pipeline(transaction=False) as pipe:
        for segment in ids:
            pipe.hmget(keys.segment(segment), FIELDS)
        rows = pipe.execute()
    return [
        SegmentFacts(
            id=segment,
            job=job_of(segment),
            status=status,
            attempts=int(attempts or 0),
            worker=worker,
            # An epoch is the time of its claim in milliseconds.
            since=int(epoch) / 1e3 if int(epoch or 0) else None,
            reason=reason,
            text=text or "",
        )
        for segment, (status, attempts, worker, epoch, reason, text) in zip(ids, rows, strict=True)
        if status is not None
    ]


def running_segments(redis: Redis, job_id: str | None = None) -> list[SegmentFacts]:
    """The segments that workers hold, of all jobs or of one; raises `Unavailable`."""
    with redis_errors():
        leased = cast(list[str], redis.zrange(keys.LEASES, 0, MAX_LEASES - 1))
    wanted = [segment for segment in leased if job_id in (None, job_of(segment))]
    found = read_segments(redis, wanted)
    return [segment for segment in found if segment.status == Status.IN_PROGRESS]
