"""What holds for every request: an id, and a largest body."""

from __future__ import annotations

import logging
import re
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import errors

_log = logging.getLogger(__name__)
_SAFE_ID = re.compile(r"[\w.-]{1,64}")


class RequestId:
    """Gives every answer an `x-request-id`, the client's own if it sent a plain one.

    An unexpected error ends here, so that its 500 has the id too, and the log with it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        asked = Headers(scope=scope).get("x-request-id", "")
        begun = False
        request_id = asked if _SAFE_ID.fullmatch(asked) else uuid.uuid4().hex

        async def send_with_id(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                MutableHeaders(scope=message)["x-request-id"] = request_id
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception:
            if begun:
                raise
            _log.exception("Request %s failed", request_id)
            answer = errors.response(500, "something went wrong on our side", "internal_error")
            await answer(scope, receive, send_with_id)


class BodyLimit:
    """Answers 413 to a body over `max_bytes`, declared or not, before anything reads it whole."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        declared = Headers(scope=scope).get("content-length", "0")
        if declared.isdigit() and int(declared) > self._max_bytes:
            return await self._refuse(scope, receive, send)
        received = 0

        async def receive_counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                raise _TooLarge
            return message

        try:
            await self._app(scope, receive_counted, send)
        except _TooLarge:
            await self._refuse(scope, receive, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        message = f"the body is larger than {self._max_bytes:,} bytes"
        answer = errors.response(413, message, "body_too_large", "body")
        await answer(scope, receive, send)


class _TooLarge(BaseException):
    """Passes through FastAPI's own handling of body errors."""
