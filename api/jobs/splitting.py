"""Threads for splitting long texts, so that the threads of other requests stay free."""

from __future__ import annotations

from asyncio import Future, get_running_loop
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from api.http.access_log import noted_owner
from shared.errors import SplitterBusy

T = TypeVar("T")
# A shorter body costs less than the trip through a queue.
LONG_BYTES = 2**14
RETRY_AFTER_S = 10


class Splitter:
    """Runs work on long texts on threads of its own, the clients in turn.

    A client is the owner of a key, on an open server an address. Raises `SplitterBusy` if
    `max_waiting` wait already, or half of them of the same client.
    """

    def __init__(self, threads: int, max_waiting: int) -> None:
        self._limiter = CapacityLimiter(threads)
        self._free = threads
        self._max_waiting = max_waiting
        self._waiting: OrderedDict[str, deque[Future[None]]] = OrderedDict()

    async def run(self, request: Request, size: int, work: Callable[[], T]) -> T:
        """The result of `work` on a text of `size` bytes; a short one gets any free thread.

        Work of a client that has gone before it begins is dropped.
        """
        if size <= LONG_BYTES:
            return await run_in_threadpool(work)
        # Not the token as it was sent: an open server takes any.
        client = noted_owner() or (request.client.host if request.client else "")
        async with self._turn(client):
            if await request.is_disconnected():
                raise ClientDisconnect
            return await run_sync(work, limiter=self._limiter)

    @asynccontextmanager
    async def _turn(self, client: str) -> AsyncIterator[None]:
        if self._free:
            self._free -= 1
        else:
            await self._wait(client)
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, client: str) -> None:
        """Wait until a thread is passed on to this client."""
        waiting = sum(map(len, self._waiting.values()))
        of_client = len(self._waiting.get(client, ()))
        if waiting >= self._max_waiting or of_client >= max(1, self._max_waiting // 2):
            raise SplitterBusy(
                "too many long texts wait to be split; send it again later",
                retry_after_s=RETRY_AFTER_S,
            )
        turn: Future[None] = get_running_loop().create_future()
        self._waiting.setdefault(client, deque()).append(turn)
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                self._pass_on()  # It was passed on to a client that no longer waits.
            else:
                self._forget(client, turn)
            raise

    def _pass_on(self) -> None:
        """Give a thread to the client whose last turn is the longest ago, or free it."""
        while self._waiting:
            client, turns = self._waiting.popitem(last=False)
            turn = turns.popleft()
            if turns:
                self._waiting[client] = turns
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    def _forget(self, client: str, turn: Future[None]) -> None:
        turns = self._waiting.get(client)
        if turns is not None and turn in turns:
            turns.remove(turn)
            if not turns:
                del self._waiting[client]
