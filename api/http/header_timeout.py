"""A time limit for request heads, which uvicorn does not have."""

from __future__ import annotations

import asyncio
import socket

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

# A request's head is a few lines.
HEAD_TIMEOUT_S = 20.0


class HeaderTimeoutProtocol(H11Protocol):
    """Closes connections that do not send a complete request head within 20 s.

    Between requests uvicorn's own limit holds, and `BodyLimit` has one for bodies.
    """

    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the time limit, and switch Nagle's algorithm off.

        asyncio does the latter only for sockets that say that they are TCP, and those of several
        processes of uvicorn do not: each answer would wait 40 ms for the client's acknowledgement
        of its head.
        """
        super().connection_made(transport)
        connection = transport.get_extra_info("socket")
        if connection is not None and connection.family in (socket.AF_INET, socket.AF_INET6):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Start the time limit of the next head, once it has begun."""
        super().data_received(data)
        self._watch()

    def _watch(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            if self._waiting is not None:
                self._waiting.cancel()
            self._waiting = None
        elif self._waiting is None:
            self._waiting = self.loop.call_later(HEAD_TIMEOUT_S, self._close_if_silent)

    def _close_if_silent(self) -> None:
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self.transport.close()
