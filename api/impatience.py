"""Connections that say nothing: they cost a socket each, and uvicorn would keep them for ever."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

# A request's head is a few lines.
HEAD_S = 20.0


class Impatient(H11Protocol):
    """Closes a connection that has not sent the whole head of its first request in time.

    Between requests uvicorn's own limit holds, and `BodyLimit` has one for bodies.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Give it until then."""
        super().connection_made(transport)
        self.loop.call_later(HEAD_S, self._close_if_silent)

    def _close_if_silent(self) -> None:
        if self.cycle is None and not self.transport.is_closing():
            self.transport.close()
