"""The figures of the ledger for one process's metrics, read once a second at the most."""

from __future__ import annotations

import asyncio
import logging
import time

import anyio.to_thread
from redis import Redis

from shared.errors import Unavailable
from shared.store.connection import connect_briefly
from shared.store.queue_figures import QueueFigures

MAX_FIGURES_AGE_S = 1.0
# A scraper waits 10 s by default, and has to learn soon that Redis is away.
READ_TIMEOUT_S, ANSWER_TIMEOUT_S = 1.5, 1.0
_log = logging.getLogger(__name__)


class QueueMonitor:
    """Reads the figures for all scrapes of a process, over connections of its own."""

    def __init__(self, redis: Redis) -> None:
        self._redis = connect_briefly(redis, ANSWER_TIMEOUT_S)
        self._reading = asyncio.Lock()
        self._figures: QueueFigures | None = None
        self._read_s = -MAX_FIGURES_AGE_S

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    async def figures(self) -> QueueFigures | None:
        """The figures, or None if Redis did not give them within `READ_TIMEOUT_S` seconds."""
        async with self._reading:
            if time.monotonic() - self._read_s >= MAX_FIGURES_AGE_S:
                self._figures = await self._read()
                self._read_s = time.monotonic()
            return self._figures

    async def _read(self) -> QueueFigures | None:
        try:
            with anyio.fail_after(READ_TIMEOUT_S):
                # A thread that is abandoned ends when its connection gives up.
                return await anyio.to_thread.run_sync(
                    QueueFigures.read, self._redis, abandon_on_cancel=True
                )
        except (TimeoutError, Unavailable) as error:
            _log.warning("The metrics lack the queue: %s", error or "Redis is silent")
            return None
