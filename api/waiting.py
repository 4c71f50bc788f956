"""Holding an answer until a job has ended, for as long as the client prefers (RFC 7240)."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from api.deps import Services
from shared.errors import InvalidRequest
from shared.jobs import TERMINAL, Job

LONGEST_S = 60
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 1.0
_WAIT = re.compile(r"(?:^|[,;])\s*wait\s*=\s*\"?(\d{1,9})\"?\s*(?=$|[,;])", re.I)
_DURATION = re.compile(r"(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,7})s?)?", re.I)
MOST_S = 30 * 24 * 3_600


def preferred_wait(request: Request) -> int:
    """Seconds that the client wants to wait; other preferences are passed over, as the RFC asks."""
    found = _WAIT.search(request.headers.get("prefer", ""))
    return min(int(found[1]), LONGEST_S) if found else 0


class Waiting:
    """Who waits in this process: so many of an owner and in all; others are told at once."""

    def __init__(self, most: int, of_one: int) -> None:
        self._most, self._of_one = most, of_one
        self._owners: Counter[str] = Counter()

    @contextmanager
    def place(self, owner: str) -> Iterator[bool]:
        """Whether there is a place to wait in."""
        if self._owners[owner] >= self._of_one or self._owners.total() >= self._most:
            yield False
            return
        self._owners[owner] += 1
        try:
            yield True
        finally:
            self._owners[owner] -= 1


WAITING = Waiting(most=128, of_one=32)


async def wait(job: Job, seconds: float, services: Services, request: Request) -> Job:
    """The job when it has ended, or as it stands after so many seconds, or when nobody asks."""
    deadline, pause_s = time.monotonic() + seconds, FIRST_PAUSE_S
    with WAITING.place(job.owner) as is_free:
        while is_free and job.status not in TERMINAL and time.monotonic() < deadline:
            await asyncio.sleep(min(pause_s, max(0, deadline - time.monotonic())))
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            if await request.is_disconnected():
                break
            job = await run_in_threadpool(services.ledger.job, job.id)
    return job


def deadline_s(request: Request) -> float | None:
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
