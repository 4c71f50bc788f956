"""The last seconds of a process: it serves on, while clients and proxies move to another one."""

from __future__ import annotations

import threading
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

CLOSE_HEADER = (b"connection", b"close")


class Drain:
    """The drain of this process, which begins once and ends after some seconds."""

    def __init__(self) -> None:
        self._begun = threading.Event()
        self._ends_s = 0.0

    def begin(self, within_s: float) -> None:
        """Begin, for `within_s` seconds."""
        self._ends_s = time.monotonic() + within_s
        self._begun.set()

    @property
    def has_begun(self) -> bool:
        """True once the process has been told to stop."""
        return self._begun.is_set()

    @property
    def is_over(self) -> bool:
        """True once it has begun and its time is over."""
        return self.has_begun and time.monotonic() >= self._ends_s


# Of the process: the server begins it, and its application sees it.
DRAIN = Drain()


class ClosingConnections:
    """While the process drains, each answer closes its connection.

    A connection that is kept open would be cut at the end, perhaps in the moment in which a client
    sends its next request. Source: RFC 9112, section 9.6.
    """

    def __init__(self, app: ASGIApp, *, drain: Drain) -> None:
        self._app, self._drain = app, drain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)

        async def send_and_close(message: Message) -> None:
            if message["type"] == "http.response.start" and self._drain.has_begun:
                message = {**message, "headers": [*message.get("headers", ()), CLOSE_HEADER]}
            await send(message)

        await self._app(scope, receive, send_and_close)
