"""The jobs that clients follow, looked up together, however many listeners each has."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from anyio import CapacityLimiter, to_thread
from pydantic import ValidationError

from shared.errors import JobNotFound, Unavailable
from shared.jobs import TERMINAL, Job
from shared.store.ledger import Ledger

POLL_S = 0.5
_log = logging.getLogger(__name__)


class JobFeed:
    """One job, for all its listeners: its newest state, or None once it is gone."""

    def __init__(self, job: Job) -> None:
        self.job: Job | None = job
        self.mark = job.mark
        self.listeners = 0
        self._changed = asyncio.Event()

    @property
    def is_due(self) -> bool:
        """True if the job should have been cancelled by now."""
        at = self.job.cancel_at if self.job is not None else None
        return at is not None and at <= time.time()

    def publish(self, job: Job | None) -> None:
        """Give the listeners a new state."""
        self.job = job
        self.mark = job.mark if job is not None else ""
        self._changed.set()
        self._changed = asyncio.Event()

    def update(self, job: Job) -> None:
        """Give the listeners a state that one of them has read, unless it is known or older."""
        if self.job is not None and self.job.seen_at < job.seen_at and self.mark != job.mark:
            self.publish(job)

    async def after(self, seen: Job) -> Job | None:
        """The next state that differs from `seen`, None once the job is gone."""
        while self.job is not None and self.mark == seen.mark:
            await self._changed.wait()
        return self.job


class JobFeeds:
    """One task that asks Redis for the marks of all followed jobs, twice a second.

    It runs while there are listeners, has one thread at a time, and reads a job only when its mark
    has changed. While Redis is away, the listeners wait.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._feeds: dict[str, JobFeed] = {}
        self._poller: asyncio.Task[None] | None = None

    @contextmanager
    def following(self, job: Job) -> Iterator[JobFeed]:
        """Follow a job, in the event loop."""
        feed = self._feeds.get(job.id)
        if feed is None:
            feed = self._feeds[job.id] = JobFeed(job)
        feed.update(job)
        feed.listeners += 1
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll())
        try:
            yield feed
        finally:
            self._leave(job.id, feed)

    def _leave(self, job_id: str, feed: JobFeed) -> None:
        feed.listeners -= 1
        if not feed.listeners and self._feeds.get(job_id) is feed:
            del self._feeds[job_id]
        if not self._feeds and self._poller is not None:
            self._poller.cancel()
            self._poller = None

    async def _poll(self) -> None:
        limiter = CapacityLimiter(1)
        while True:
            await asyncio.sleep(POLL_S)
            followed = {
                job_id: feed
                for job_id, feed in self._feeds.items()
                if feed.job is not None and feed.job.status not in TERMINAL
            }
            try:
                changed = await to_thread.run_sync(self._read, followed, limiter=limiter)
            except Unavailable:
                continue  # the listeners wait, each for as long as it wants
            except Exception:  # noqa: BLE001 - the listeners of one job are not those of others
                _log.exception("The followed jobs could not be read")
                continue
            for job_id, job in changed.items():
                followed[job_id].publish(job)

    def _read(self, followed: dict[str, JobFeed]) -> dict[str, Job | None]:
        """The jobs whose marks have changed."""
        marks = self._ledger.marks(list(followed))
        return {
            job_id: self._job(job_id)
            for (job_id, feed), mark in zip(followed.items(), marks, strict=True)
            if mark != feed.mark or feed.is_due
        }

    def _job(self, job_id: str) -> Job | None:
        try:
            return self._ledger.job(job_id)
        except JobNotFound:
            return None
        except ValidationError:
            _log.warning("Job %s is of another version: its listeners are sent away", job_id)
            return None
