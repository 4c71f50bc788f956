"""Holding an answer until a job has ended, for as long as the client prefers (RFC 7240)."""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import suppress
from dataclasses import dataclass

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from api.caller import Caller
from api.http.listener_limit import ListenerLimit
from api.jobs.feeds import POLL_S, JobFeed, JobFeeds
from shared.errors import InvalidRequest, JobNotFound, TooManyListeners
from shared.jobs import TERMINAL, Job
from shared.store.ledger import Ledger

LONGEST_S = 60
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 1.0
_WAIT = re.compile(r"(?:^|[,;])\s*wait\s*=\s*\"?(\d{1,9})\"?\s*(?=$|[,;])", re.I)
_DURATION = re.compile(r"(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,7})s?)?", re.I)
MOST_S = 30 * 24 * 3_600


def preferred_wait(request: Request) -> int:
    """Seconds that the client wants to wait; other preferences are passed over, as the RFC asks."""
    found = _WAIT.search(request.headers.get("prefer", ""))
    return min(int(found[1]), LONGEST_S) if found else 0


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
        """Look at short pauses at first, for short jobs; then with all that follow the job."""
        deadline, pause_s = time.monotonic() + seconds, FIRST_PAUSE_S
        with self.feeds.following(job) as feed:
            while job.status not in TERMINAL and (left_s := deadline - time.monotonic()) > 0:
                if pause_s < POLL_S:
                    await asyncio.sleep(min(pause_s, left_s))
                    job = await run_in_threadpool(self.ledger.job, job.id)
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


def cancel_after_s(request: Request) -> float | None:
    """Seconds after which a job is to be cancelled; raises `InvalidRequest`."""
    said = request.headers.get("cancel-after")
    if said is None:
        return None
    found = _DURATION.fullmatch(said.strip())
    hours, minutes, seconds = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
    after_s = hours * 3_600 + minutes * 60 + seconds
    if not 1 <= after_s <= MOST_S:
        raise InvalidRequest(
            "write it as 90s, 5m or 1h30m, from 1 second to 30 days", param="Cancel-After"
        )
    return float(after_s)
