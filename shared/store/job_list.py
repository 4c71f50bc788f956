"""Jobs one page after another, newest or oldest first."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection
from typing import Any, NamedTuple, cast

from pydantic import ValidationError
from redis import Redis

from shared.errors import JobNotFound
from shared.jobs import ID_PREFIX, TERMINAL, Job, Status
from shared.store import keys
from shared.store.connection import redis_errors
from shared.store.pauses import paused_models
from shared.store.rows import read_job
from shared.store.scripts import Steps
from shared.store.workers import count_workers

# Jobs that are read at a time at the most, and for one page.
PAGE_SIZE, MAX_JOBS_READ = 200, 10_000
TIME_DIGITS = 16
_log = logging.getLogger(__name__)


class JobPage(NamedTuple):
    """Some jobs, the id after which the next page begins, and whether there is one."""

    jobs: list[Job]
    last_id: str | None
    has_more: bool


class JobList:
    """The jobs in Redis; raises `Unavailable` while it is away."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._steps = Steps(redis)

    def page(
        self,
        owner: str | None,
        *,
        limit: int,
        keep: Callable[[Job], bool] = lambda _job: True,
        statuses: Collection[Status] = (),
        after: str | None = None,
        newest_first: bool = True,
    ) -> JobPage:
        """Up to `limit` jobs of an owner, or of all, that `keep` keeps, from after the job `after`.

        With `statuses`, they are jobs of these; others cost a tenth of the time, and no reading.
        Raises `JobNotFound` if that job is not known, and says nothing of when it was.
        """
        key = keys.JOBS if owner is None else keys.owner_jobs(owner)
        kept: list[Job] = []
        # A job takes 0.1 ms to read: no more than the page needs, if all of them are kept.
        size = min(limit, PAGE_SIZE)
        for _ in range(MAX_JOBS_READ // PAGE_SIZE):
            # Found anew each time: jobs come and go while we read.
            start = self._rank_after(key, after, newest_first)
            with redis_errors():
                found = self._redis.zrange(key, start, start + size - 1, desc=newest_first)
            ids = cast(list[str], found)
            for index, job in enumerate(self._read(ids, statuses)):
                # A status of a newer version is read as another one.
                is_wanted = job is not None and (not statuses or job.status in statuses)
                if job is not None and is_wanted and keep(job):
                    kept.append(job)
                if len(kept) == limit:
                    with redis_errors():
                        has_more = start + index + 1 < self._redis.zcard(key)
                    return JobPage(self._with_workers(kept), ids[index], has_more)
            after = ids[-1] if ids else after
            if len(ids) < size:
                return JobPage(self._with_workers(kept), after, False)
            size = PAGE_SIZE
        return JobPage(self._with_workers(kept), after, True)

    def _with_workers(self, jobs: list[Job]) -> list[Job]:
        """The jobs, those that have not ended with the live workers of their models, and pauses."""
        opened = {job.spec.model for job in jobs if job.status not in TERMINAL}
        workers, paused = count_workers(self._redis, opened), paused_models(self._redis)
        return [
            job.model_copy(
                update={
                    "live_workers": workers.get(job.spec.model),
                    "paused": job.status not in TERMINAL and job.spec.model in paused,
                }
            )
            for job in jobs
        ]

    def _read(self, ids: list[str], statuses: Collection[Status]) -> list[Job | None]:
        """The jobs of these ids; None for one that is deleted meanwhile, or cannot be read.

        None, too, for one of another status than these, if there are any.
        """
        wanted = f" {' '.join(statuses)} " if statuses else ""
        jobs: list[Job | None] = []
        for row in self._steps.run("read_jobs", wanted, *ids) if ids else []:
            fields: dict[str, Any] = json.loads(row) if row else {}
            try:
                jobs.append(read_job(fields) if fields else None)
            except ValidationError:
                _log.warning("Passed over a job of another version: %s", fields["id"])
                jobs.append(None)
        return jobs

    def _rank_after(self, key: str, after: str | None, newest_first: bool) -> int:
        if after is None:
            return 0
        with redis_errors():
            read_rank = self._redis.zrevrank if newest_first else self._redis.zrank
            rank = cast("int | None", read_rank(key, after))
            if rank is not None:
                return rank + 1
            # It was deleted in the meantime; its id says when it was accepted.
            at, end = _time_of(after), "+inf" if newest_first else "-inf"
            bounds = (f"({at}", end) if newest_first else (end, f"({at}")
            return self._redis.zcount(key, *bounds)


def _time_of(job_id: str) -> float:
    digits = job_id.removeprefix(ID_PREFIX)[:TIME_DIGITS]
    try:
        if job_id.startswith(ID_PREFIX) and len(digits) == TIME_DIGITS:
            return int(digits, 16) / 1e9
    except ValueError:
        pass
    raise JobNotFound(f"no job {job_id[:100]!r} to go on from", param="after")
