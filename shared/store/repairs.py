"""Repairs of a job by an operator: retry it, requeue its segments, change its priority."""

from __future__ import annotations

from typing import Any, cast

from redis import Redis

from shared.errors import JobEnded, JobNotFound, NotRetriable, NotRunning, Unavailable
from shared.jobs import TERMINAL, WEIGHTS, Job, Priority, Status, segment_id
from shared.storage import Storage
from shared.store import keys
from shared.store.connection import redis_errors
from shared.store.scripts import Steps

# Segments that one step deals with.
SEGMENTS_PER_STEP = 80


class Repairs:
    """Changes of jobs that no client makes; every method may raise `Unavailable`.

    A repair that is sent twice is done once.
    """

    def __init__(self, redis: Redis, *, max_attempts: int) -> None:
        self._redis = redis
        self._steps = Steps(redis)
        self._max_attempts = max_attempts

    def retry(self, job: Job, storage: Storage, *, whole: bool = False) -> None:
        """Open a failed job again: its segments that are not committed, or all, wait anew.

        Raises `JobNotFound`, or `NotRetriable` if it has not failed or its files were deleted.
        """
        if job.status == Status.FAILED:
            self._check_files(job, storage, whole=whole)
        place = 0
        while True:
            answer = self._steps.run(
                "retry", job.id, place, SEGMENTS_PER_STEP, "all" if whole else "failed"
            )
            if answer is None:
                raise JobNotFound(f"no job {job.id!r}", param="job_id")
            if answer[0] != "part":
                break
            place = int(answer[1])
        if answer[0] == "again":
            raise Unavailable("the job was changed meanwhile: retry it once more")
        if answer[0] != "retried":
            raise NotRetriable(f"only a failed job is retried; this one is {answer[0]}")

    def _check_files(self, job: Job, storage: Storage, *, whole: bool) -> None:
        """Raise `NotRetriable` if files are gone that the rest of the job needs.

        They are deleted together, so the first of each kind stands for all.
        """
        reference = job.spec.reference
        if reference is not None and not storage.has(reference.key):
            raise NotRetriable("the recording to be cloned was deleted: send the job again")
        kept = None if whole else self._first_result(job)
        if kept is not None and not storage.has(kept):
            raise NotRetriable(
                "the files of its committed segments were deleted: retry the whole job"
            )

    def _first_result(self, job: Job) -> str | None:
        """The storage key of the first committed segment; None if there is none."""
        for first in range(0, job.total if job.completed else 0, SEGMENTS_PER_STEP):
            with redis_errors(), self._redis.pipeline(transaction=False) as pipe:
                for index in range(first, min(first + SEGMENTS_PER_STEP, job.total)):
                    pipe.hmget(keys.segment(segment_id(job.id, index)), "status", "key")
                rows: list[list[Any]] = pipe.execute()
            for status, key in rows:
                if status == Status.COMPLETED:
                    return cast(str, key)
        return None

    def requeue(self, segment: str) -> str:
        """Take a segment from the worker that holds it, whose attempt does not count.

        Returns the worker, which stops speaking it within 2 seconds. Raises `NotRunning`.
        """
        with redis_errors():
            epoch, worker = cast(
                "list[str | None]", self._redis.hmget(keys.segment(segment), "epoch", "worker")
            )
        args = (segment, epoch or "", self._max_attempts, "an operator had it requeued")
        if epoch is None or not self._steps.run("release", *args):
            raise NotRunning(f"no worker holds the segment {segment!r} now", param="segment")
        return worker or ""

    def prioritise(self, job_id: str, priority: Priority) -> None:
        """Change a job's share of its owner's turns; raises `JobNotFound` or `JobEnded`."""
        status = self._steps.run("prioritise", job_id, priority, WEIGHTS[priority])
        if status is None:
            raise JobNotFound(f"no job {job_id!r}", param="job_id")
        if status in TERMINAL:
            raise JobEnded(f"the job has ended: it is {status}", param="job_id")
