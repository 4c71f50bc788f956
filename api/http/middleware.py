"""The layers around every request: an id, the security headers, errors, and a largest body."""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from collections import Counter

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http import access_log, errors
from api.http.body_budget import BodyBudget
from api.http.bounds import MAX_HEAD_BYTES, MAX_HEADERS
from api.http.request_metrics import observe_request
from shared.errors import BodiesFull
from shared.log_context import log_context

_log = logging.getLogger(__name__)
# The time of a body: 30 s, and 1 s for each 4 kB, which is slower than any real link.
BODY_TIMEOUT_S, MIN_BYTES_PER_S = 30.0, 4_000
_SAFE_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
# Of every answer, errors included, unless its route sets its own value.
SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    # The page at `/` has a stricter one; the description's page runs scripts of this server.
    (b"content-security-policy", b"frame-ancestors 'none'"),
    # No page of another site may embed what a browser of one of our users can fetch.
    (b"cross-origin-resource-policy", b"same-origin"),
)


class RequestId:
    """An id, the security headers and a line in the log for every request.

    It is the outermost layer but `ProxyHeaders`. The `x-request-id` is the client's own if it sent
    a plain one.
    """

    def __init__(self, app: ASGIApp, *, log_requests: bool = True) -> None:
        self._app = app
        self._log_requests = log_requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        asked = Headers(scope=scope).get("x-request-id", "")
        request_id = asked if _SAFE_ID.fullmatch(asked) else uuid.uuid4().hex
        begun_s, status = time.perf_counter(), access_log.CLIENT_GONE

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*secured(message["headers"]), (b"x-request-id", request_id.encode())]
                message = {**message, "headers": headers}
            await send(message)

        with log_context(request=request_id) as notes:
            try:
                await self._app(scope, receive, send_with_headers)
            finally:
                took_s = time.perf_counter() - begun_s
                wanted = self._log_requests
                access_log.log_request(scope, notes, status, took_s, is_wanted=wanted)
                observe_request(scope, status, took_s)


class ErrorBoundary:
    """Answers 431 to a head that is too large, and 500 to an unexpected error.

    It is within the layers that add headers, so that these answers have them, too.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        has_begun = False

        async def send_noted(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._served(scope, receive, send_noted)
        except Exception:
            if has_begun:
                raise
            _log.exception("Request %s failed", access_log.request_id())
            answer = errors.response(500, "something went wrong on our side", "internal_error")
            await answer(scope, receive, send)

    async def _served(self, scope: Scope, receive: Receive, send: Send) -> None:
        size = len(scope["query_string"]) + sum(len(n) + len(v) for n, v in scope["headers"])
        if len(scope["headers"]) <= MAX_HEADERS and size <= MAX_HEAD_BYTES:
            return await self._app(scope, receive, send)
        said = (
            f"the request has more than {MAX_HEADERS} headers or {MAX_HEAD_BYTES:,} bytes of them"
        )
        answer = errors.response(431, said, "request_header_fields_too_large")
        await answer(scope, receive, send)


def secured(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The headers of an answer with the security headers that are missing."""
    names = {name.lower() for name, _ in headers}
    return [*headers, *(header for header in SECURITY_HEADERS if header[0] not in names)]


class BodyLimit:
    """Answers 413 to a body over `max_bytes`, declared or not, before anything reads it whole.

    Answers 408 to a body that takes more than `BODY_TIMEOUT_S` and a second for each
    `MIN_BYTES_PER_S` bytes, and 503 to one that does not fit into the budget of all bodies.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, budget: BodyBudget) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._budget = budget

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        declared = Headers(scope=scope).get("content-length", "0")
        if declared.isdigit() and int(declared) > self._max_bytes:
            return await _Refused(self._too_large()).answer(scope, receive, send)
        with self._budget.body() as body:
            await self._counted(body, scope, receive, send)

    async def _counted(
        self, body: Counter[str | None], scope: Scope, receive: Receive, send: Send
    ) -> None:
        received, is_whole, begun_s = 0, False, time.monotonic()

        async def receive_counted() -> Message:
            nonlocal received, is_whole
            if is_whole:
                return await receive()  # the end of the connection, for which there is no limit
            left_s = begun_s + BODY_TIMEOUT_S + received / MIN_BYTES_PER_S - time.monotonic()
            try:
                async with asyncio.timeout(max(0, left_s)):
                    message = await receive()
            except TimeoutError:
                said = "the body did not come in time"
                raise _Refused(errors.response(408, said, "body_too_slow", "body")) from None
            is_whole = not message.get("more_body")
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                raise _Refused(self._too_large())
            try:
                size, owner = len(message.get("body", b"")), access_log.noted_owner()
                await self._budget.take(body, size, owner)
            except BodiesFull as error:
                raise _Refused(errors.refusal(error)) from None
            return message

        try:
            await self._app(scope, receive_counted, send)
        except _Refused as refused:
            await refused.answer(scope, receive, send)

    def _too_large(self) -> Response:
        message = f"the body is larger than {self._max_bytes:,} bytes"
        return errors.response(413, message, "body_too_large", "body")


class _Refused(BaseException):
    """A body that is refused; passes through FastAPI's own handling of body errors."""

    def __init__(self, answer: Response) -> None:
        super().__init__()
        # Else the remaining body would be received.
        answer.headers["Connection"] = "close"
        self.answer = answer
