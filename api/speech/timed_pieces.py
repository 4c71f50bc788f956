"""Pieces of audio as they come, with a limit of the time that is waited for each."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator

from anyio import CancelScope

from shared.audio.wav import Pcm


class TimedPieces:
    """Reads an iterator of pieces; one that was waited for in vain is the next one all the same.

    To be closed by `aclose`, which ends the waiting.
    """

    def __init__(self, pieces: AsyncIterator[Pcm]) -> None:
        self._pieces = pieces
        self._read: deque[Pcm] = deque()
        self._waiting: asyncio.Task[Pcm | None] | None = None

    async def next(self, within_s: float) -> Pcm | None:
        """The next piece, None at the end; raises `TimeoutError`, or as the iterator does."""
        if self._read:
            return self._read.popleft()
        if self._waiting is None:
            self._waiting = asyncio.create_task(self._next())
        done, _ = await asyncio.wait({self._waiting}, timeout=within_s)
        if not done:
            raise TimeoutError
        ended, self._waiting = self._waiting, None
        return ended.result()

    async def all_within(self, seconds: float) -> list[Pcm] | None:
        """All pieces that are left, if they come in time; else None, and they are still next."""
        until_s = time.monotonic() + seconds
        found: list[Pcm] = []
        try:
            while (pcm := await self.next(max(0, until_s - time.monotonic()))) is not None:
                found.append(pcm)
        except TimeoutError:
            self._read.extendleft(reversed(found))
            return None
        return found

    async def _next(self) -> Pcm | None:
        # `create_task` takes coroutines only, which `anext` is none of.
        return await anext(self._pieces, None)

    async def aclose(self) -> None:
        """Give up what is waited for."""
        if self._waiting is None:
            return
        self._waiting.cancel()
        with CancelScope(shield=True):
            await asyncio.wait({self._waiting})
        if not self._waiting.cancelled():
            self._waiting.exception()  # else asyncio would log that it was not looked at
