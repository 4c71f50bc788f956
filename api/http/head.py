"""HEAD on every route that has a GET: its headers, without the body."""

from __future__ import annotations

from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadAsGet:
    """Serves HEAD as GET, and ends the route at its headers, unless it has a HEAD of its own.

    An event stream ends there, too. Routes that serve a `Range` have a HEAD of their own, since a
    range is for GET only (RFC 9110).
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            return await self._app(scope, receive, send)
        routes: list[BaseRoute] = scope["app"].routes
        if any(route.matches(scope)[0] is Match.FULL for route in routes):
            return await self._app(scope, receive, send)
        as_get = {**scope, "method": "GET"}

        start: Message | None = None

        async def note_start(message: Message) -> None:
            nonlocal start
            start = message
            raise _Answered

        try:
            await self._app(as_get, receive, note_start)
        except _Answered:
            pass
        except BaseExceptionGroup as group:  # of a stream's tasks
            _, others = group.split(_Answered)
            if others is not None:
                raise others from None
        finally:
            if "route" in as_get:
                scope["route"] = as_get["route"]  # for the log
        # Once the route has given back what it held, such as a listener's place.
        if start is not None:
            await send(start)
            await send({"type": "http.response.body"})


class _Answered(BaseException):
    """The headers are known; passes through all handling of errors."""
