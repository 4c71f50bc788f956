"""Threads for calls that may wait for the storage, so that no other request waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import ParamSpec, TypeVar

from anyio import CapacityLimiter
from anyio.to_thread import run_sync

from shared.errors import Unavailable

THREADS, MAX_WAITING = 16, 256
# With the storage's own limit of 2 s, a request has its answer within 5 s.
MAX_WAIT_S = 2.0
P = ParamSpec("P")
T = TypeVar("T")


class StorageThreads:
    """Threads of a process that wait for the storage; the others serve what needs none.

    At most `max_waiting` calls wait for a free thread, for at most `max_wait_s` seconds.
    """

    def __init__(
        self,
        threads: int = THREADS,
        max_waiting: int = MAX_WAITING,
        max_wait_s: float = MAX_WAIT_S,
        *,
        refusal: str = "the storage is slow; try again shortly",
    ) -> None:
        self._limiter = CapacityLimiter(threads)
        self._free = asyncio.Semaphore(threads)
        self._waiting, self._max_waiting = 0, max_waiting
        self._max_wait_s = max_wait_s
        self._refusal = refusal

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of `call`; raises `Unavailable` if no thread is free in time."""
        await self._acquire()
        try:
            return await run_sync(partial(call, *args, **kwargs), limiter=self._limiter)
        finally:
            self._free.release()

    async def _acquire(self) -> None:
        if self._free.locked() and self._waiting >= self._max_waiting:
            raise Unavailable(self._refusal)
        self._waiting += 1
        try:
            async with asyncio.timeout(self._max_wait_s):
                await self._free.acquire()
        except TimeoutError:
            raise Unavailable(self._refusal) from None
        finally:
            self._waiting -= 1
