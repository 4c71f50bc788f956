"""The jobs that wait for a model, and their cancelling."""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple, cast

from redis import Redis

from shared.errors import JobNotFound
from shared.jobs import Status
from shared.store import keys
from shared.store.connection import redis_errors
from shared.store.ledger import Ledger


class Purged(NamedTuple):
    """The number of jobs that a purge has cancelled, and of those left for the next one."""

    cancelled: int
    left: int


def purge(redis: Redis, ledger: Ledger, model: str, *, limit: int) -> Purged:
    """Cancel up to `limit` jobs of a model of which nothing was begun; those begun go on.

    Each is cancelled in a step of its own, so its webhook and its batch are told. Raises
    `Unavailable`.
    """
    waiting = _not_begun(redis, model)
    cancelled = 0
    for job_id in waiting[:limit]:
        with suppress(JobNotFound):
            cancelled += ledger.cancel_unbegun(job_id)  # a worker may have begun it meanwhile
    return Purged(cancelled, max(0, len(waiting) - limit))


def _not_begun(redis: Redis, model: str) -> list[str]:
    """The ids of the jobs in a model's queue of which no segment is spoken, or was."""
    with redis_errors():
        owners = cast(list[str], redis.zrange(keys.turns(model), 0, -1))
        pipe = redis.pipeline(transaction=False)
        for owner in owners:
            pipe.zrange(keys.owner_turns(model, owner), 0, -1)
        jobs = [job_id for found in pipe.execute() for job_id in found]
        for job_id in jobs:
            pipe.hmget(keys.job(job_id), "status", "completed")
        rows = pipe.execute()
    return [
        job_id
        for job_id, (status, completed) in zip(jobs, rows, strict=True)
        if status == Status.QUEUED and not int(completed or 0)
    ]
