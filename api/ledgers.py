"""The ledgers of one API process, and the choice of a request's by the owner of its key."""

from __future__ import annotations

from collections.abc import Iterator

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Receive, Scope, Send

from api.auth.token import token_of
from api.services import SERVICES, Process, Services
from shared.errors import Unavailable
from shared.settings import Settings


class Ledgers:
    """The services of each ledger: of `TTS_REDIS_URL`, the first, and of each of `TTS_LEDGERS`.

    All that belongs to an owner is in one ledger. Keys are in the first.
    """

    def __init__(self, settings: Settings) -> None:
        process = Process(settings)
        self.first = Services(settings, process)
        self.further: dict[str, Services] = {}
        self._by_owner: dict[str, Services] = {}
        for name, ledger in settings.further_ledgers.items():
            own = settings.model_copy(update={"redis_url": ledger.redis_url})
            self.further[name] = Services(own, process)
            self._by_owner |= dict.fromkeys(ledger.owners, self.further[name])

    def __iter__(self) -> Iterator[Services]:
        yield self.first
        yield from self.further.values()

    def of(self, owner: str) -> Services:
        """The services of the ledger that an owner's records are in."""
        return self._by_owner.get(owner, self.first)

    async def close(self) -> None:
        """Close every connection."""
        for services in self:
            await services.close()


class LedgerChoice:
    """Gives each request the services of its caller's ledger, before any dependency asks for them.

    It refuses nothing: without a known key a request has those of the first ledger, and
    `api.auth.scopes` says what is wrong with it.
    """

    def __init__(self, app: ASGIApp, ledgers: Ledgers) -> None:
        self._app, self._ledgers = app, ledgers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and (token := token_of(Request(scope))):
            owner = await self._owner(token)
            scope[SERVICES] = self._ledgers.first if owner is None else self._ledgers.of(owner)
        await self._app(scope, receive, send)

    async def _owner(self, token: str) -> str | None:
        keys = self._ledgers.first.keys
        try:
            table = keys.fresh
            if table is None:
                table = await run_in_threadpool(keys.look)
        except Unavailable:
            return None
        key = table.find(token)
        return None if key is None else key.owner
