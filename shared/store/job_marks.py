"""The progress of jobs as words, read for many jobs at once, for the listeners of jobs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from redis import Redis

from shared.jobs import Job
from shared.store import keys
from shared.store.connection import redis_errors

PAGE_SIZE = 500


def mark_of(job: Job) -> str:
    """The job's progress as a word, which changes when listeners get a new state."""
    return f"{job.completed}-{job.status}"


def read_marks(redis: Redis, job_ids: Sequence[str]) -> Iterator[str | None]:
    """The marks of these jobs in order, None where there is no job; may raise `Unavailable`."""
    for first in range(0, len(job_ids), PAGE_SIZE):
        with redis_errors(), redis.pipeline(transaction=False) as pipe:
            for job_id in job_ids[first : first + PAGE_SIZE]:
                pipe.hmget(keys.job(job_id), "completed", "status")
            rows = pipe.execute()
        for completed, status in rows:
            yield f"{completed or 0}-{status}" if status else None
