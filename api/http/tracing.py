"""A span around every request, while traces are on; its parent is the client's `traceparent`."""

from __future__ import annotations

from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.access_log import CLIENT_GONE, HEALTH_PATHS
from shared import tracing

SERVER_ERROR = HTTPStatus.INTERNAL_SERVER_ERROR


class RequestSpans:
    """Traces requests but those for health.

    A span has the route, the method and the status, never the path: it may hold an id.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["path"] in HEALTH_PATHS:
            return await self._app(scope, receive, send)
        method, status = scope["method"], CLIENT_GONE

        async def send_noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        parent = Headers(scope=scope).get("traceparent")
        with tracing.span(
            method, parent=parent, kind="server", http__request__method=method
        ) as span:
            try:
                await self._app(scope, receive, send_noted)
            finally:
                if route := getattr(scope.get("route"), "path", None):
                    span.rename(f"{method} {route}")
                    span.add(http__route=route)
                span.add(http__response__status_code=status)
                if status >= SERVER_ERROR:
                    span.fail(f"status {status}")
