"""Waiting for the end of a job, for as long as its client prefers."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from api.auth import Caller
from api.jobs.feeds import POLL_S, JobFeed
from api.services import Services
from shared.errors import JobNotFound, TooManyListeners
from shared.jobs import TERMINAL, Job

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 1.0


async def wait_until_ended(
    job: Job, seconds: float, services: Services, caller: Caller, request: Request
) -> Job:
    """The job when it has ended, or as it stands after `seconds`, or when the client has gone.

    If there are as many listeners as may be, it is the job as it stands now.
    """
    with suppress(TooManyListeners), services.listener_limit.listening(caller.tenant):
        return await _wait(job, seconds, services, request)
    return job


async def _wait(job: Job, seconds: float, services: Services, request: Request) -> Job:
    """Look at short pauses at first, for short jobs; then with all that follow the job."""
    deadline, pause_s = time.monotonic() + seconds, FIRST_PAUSE_S
    with services.feeds.following(job) as feed:
        while job.status not in TERMINAL and (left_s := deadline - time.monotonic()) > 0:
            if pause_s < POLL_S:
                await asyncio.sleep(min(pause_s, left_s))
                job = await run_in_threadpool(services.ledger.job, job.id)
                feed.update(job)
            else:
                job = await _followed(feed, job, min(pause_s, left_s))
            if await request.is_disconnected():
                break
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
    return job


async def _followed(feed: JobFeed, job: Job, within_s: float) -> Job:
    with suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            newer = await feed.after(job)
            if newer is None:
                raise JobNotFound(f"no job {job.name or job.id!r}", param="job_id")
            return newer
    return job
