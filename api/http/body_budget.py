"""The limit of the bytes of bodies that a process has in memory."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from shared.errors import BodiesFull

# Seconds to wait for another request to end and make room; seconds for the client to wait.
WAIT_S, RETRY_AFTER_S = 2.0, 5


class BodyBudget:
    """`max_bytes` for all bodies, and half of it for those of one owner.

    A body counts as it comes, not as it is declared, and until its request has ended.
    """

    def __init__(self, max_bytes: int, max_body_bytes: int) -> None:
        self._max_bytes = max(max_bytes, max_body_bytes)
        self._max_owner_bytes = max(self._max_bytes // 2, max_body_bytes)
        self._held: Counter[str | None] = Counter()
        self._waiting: set[asyncio.Future[None]] = set()

    @contextmanager
    def body(self) -> Iterator[Counter[str | None]]:
        """The bytes of one body by owner, none yet; given back at the end of the `with`.

        There is one owner, once the request's key was read.
        """
        body: Counter[str | None] = Counter()
        try:
            yield body
        finally:
            self._held -= body  # and drops owners at 0
            for waiting in self._waiting:
                if not waiting.done():
                    waiting.set_result(None)

    async def take(self, body: Counter[str | None], size: int, owner: str | None) -> None:
        """Count more bytes of a body, of owner None without keys; raises `BodiesFull` after 2 s."""
        if not self._fits(size, owner):
            with suppress(TimeoutError):
                async with asyncio.timeout(WAIT_S):
                    while not self._fits(size, owner):
                        await self._wait_for_end()
        if not self._fits(size, owner):
            raise BodiesFull(
                "too many bytes of requests are in memory (TTS_MAX_BODIES_BYTES); try again "
                "shortly",
                retry_after_s=RETRY_AFTER_S,
            )
        self._held[owner] += size
        body[owner] += size

    def _fits(self, size: int, owner: str | None) -> bool:
        limit = self._max_bytes if owner is None else self._max_owner_bytes
        return self._held.total() + size <= self._max_bytes and self._held[owner] + size <= limit

    async def _wait_for_end(self) -> None:
        waiting = asyncio.get_running_loop().create_future()
        self._waiting.add(waiting)
        try:
            await waiting
        finally:
            self._waiting.discard(waiting)
