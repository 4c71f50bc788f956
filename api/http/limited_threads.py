"""Threads of their own for slow calls, so that no other request waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import ParamSpec, Self, TypeVar

from anyio import CapacityLimiter
from anyio.to_thread import run_sync

from shared.errors import Unavailable

STORAGE_THREADS = 16
P = ParamSpec("P")
T = TypeVar("T")


class LimitedThreads:
    """Threads of a process for calls of one kind; the others serve all else.

    At most `max_waiting` calls wait for a free thread, for at most `max_wait_s` seconds; a call
    that gets none is refused with `refusal`.
    """

    def __init__(self, threads: int, max_waiting: int, max_wait_s: float, *, refusal: str) -> None:
        self._limiter = CapacityLimiter(threads)
        self._free = asyncio.Semaphore(threads)
        self._waiting, self._max_waiting = 0, max_waiting
        self._max_wait_s = max_wait_s
        self._refusal = refusal

    @classmethod
    def for_storage(cls) -> Self:
        """The threads of calls that may wait for the storage."""
        return cls(
            STORAGE_THREADS,
            max_waiting=256,
            # With the storage's own limit of 2 s, a request has its answer within 5 s.
            max_wait_s=2.0,
            refusal="the storage is slow; try again shortly",
        )

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
