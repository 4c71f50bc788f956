"""Live audio of jobs for their listeners; a job is cancelled when its last listener leaves."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from anyio import CancelScope
from redis.asyncio import Redis
from starlette.concurrency import run_in_threadpool

from api.http.limited_threads import LimitedThreads
from api.speech.live_reader import LivePcmReader
from shared.errors import Unavailable
from shared.jobs import Job
from shared.storage import Storage
from shared.store.ledger import Ledger

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LiveAudio:
    """The audio of jobs while it is synthesised: from Redis, or from the storage."""

    redis: Redis
    ledger: Ledger
    storage: Storage
    storage_threads: LimitedThreads

    @asynccontextmanager
    async def listening(self, job: Job) -> AsyncIterator[LivePcmReader]:
        """Count as a listener of a job, which is cancelled if the last one leaves before its end.

        A job has several listeners if its request was sent again with its idempotency key.
        """
        with suppress(Unavailable):
            await run_in_threadpool(self.ledger.add_listener, job.id)
        try:
            yield LivePcmReader(
                job,
                redis=self.redis,
                ledger=self.ledger,
                storage=self.storage,
                storage_threads=self.storage_threads,
            )
        except (asyncio.CancelledError, GeneratorExit):
            with CancelScope(shield=True):
                try:
                    if await run_in_threadpool(self.ledger.cancel_if_abandoned, job.id):
                        _log.info("%s is cancelled: its last listener has left", job.id)
                except Unavailable as error:
                    _log.warning("%s is not cancelled, though its listener left: %s", job.id, error)
            raise
        else:
            with suppress(Unavailable):
                await run_in_threadpool(self.ledger.remove_listener, job.id)
