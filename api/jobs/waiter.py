"""Waiting for the end of a job, for as long as its client prefers."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from api.auth.caller import Caller
from api.http.listener_limit import ListenerLimit
from api.jobs.feeds import POLL_S, JobFeed, JobFeeds
from shared.backoff import backoff
from shared.errors import JobNotFound, TooManyListeners
from shared.jobs import TERMINAL, Job
from shared.store.ledger import Ledger

FIRST_BACKOFF_S, MAX_BACKOFF_S = 0.05, 1.0


@dataclass(frozen=True)
class JobWaiter:
    """Waits for the end of jobs; each client that waits counts as a listener."""

    ledger: Ledger
    feeds: JobFeeds
    listener_limit: ListenerLimit

    async def wait_until_ended(
        self, job: Job, seconds: float, caller: Caller, request: Request
    ) -> Job:
        """The job when it has ended, or as it stands after `seconds`, or when the client has gone.

        If there are as many listeners as may be, it is the job as it stands now.
        """
        with suppress(TooManyListeners), self.listener_limit.listening(caller.tenant):
            return await self._wait(job, seconds, request)
        return job

    async def _wait(self, job: Job, seconds: float, request: Request) -> Job:
        """Read the job at short pauses at first, since it may be short; then follow its feed."""
        deadline = time.monotonic() + seconds
        pauses = backoff(FIRST_BACKOFF_S, MAX_BACKOFF_S)
        with self.feeds.following(job) as feed:
            while job.status not in TERMINAL and (left_s := deadline - time.monotonic()) > 0:
                if (pause_s := next(pauses)) < POLL_S:
                    await asyncio.sleep(min(pause_s, left_s))
                    job = await run_in_threadpool(self.ledger.job, job.id)
                    feed.update(job)
                else:
                    job = await _followed(feed, job, min(pause_s, left_s))
                if await request.is_disconnected():
                    break
        return job


async def _followed(feed: JobFeed, job: Job, within_s: float) -> Job:
    with suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            newer = await feed.after(job)
            if newer is None:
                raise JobNotFound(f"no job {job.name or job.id!r}", param="job_id")
            return newer
    return job
