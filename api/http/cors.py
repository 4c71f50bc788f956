"""CORS: which pages of other origins may use this server, and read its answers."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from api.http import errors

METHODS = ("DELETE", "GET", "HEAD", "POST", "PUT")
# Headers of answers that clients read; browsers hide all others but a few from pages.
EXPOSED_HEADERS = (
    *("Accept-Ranges", "Allow", "Content-Disposition", "Content-Range", "ETag", "Location"),
    *("openai-poll-after-ms", "Preference-Applied", "Retry-After", "WWW-Authenticate"),
    *("x-ignored-fields", "x-job-id", "x-request-id", "x-should-retry"),
)
# Seconds for which a browser need not ask again.
MAX_AGE_S = 600


class Cors(CORSMiddleware):
    """Starlette's middleware for the origins of `TTS_CORS_ORIGINS`, with errors of our shape.

    A preflight is answered before any key is asked for, since browsers send none with it. Whether a
    server without keys takes a request of a page is decided where keys are checked.
    """

    def __init__(self, app: ASGIApp, origins: tuple[str, ...]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=METHODS,
            allow_headers=("*",),
            allow_private_network=True,  # a page of the web that uses a server at home
            expose_headers=EXPOSED_HEADERS,
            max_age=MAX_AGE_S,
        )

    async def simple_response(
        self, scope: Scope, receive: Receive, send: Send, request_headers: Headers
    ) -> None:
        """Serve a request that is no preflight; without origins, its answer stays as it is."""
        if not self.allow_origins:
            return await self.app(scope, receive, send)
        await super().simple_response(scope, receive, send, request_headers)

    def preflight_response(self, request_headers: Headers) -> Response:
        """The answer to a preflight."""
        origin, method = request_headers["origin"], request_headers["access-control-request-method"]
        if not self.is_allowed_origin(origin):
            said = (
                f"pages of {origin[:200]!r} may not use this server: its operator can add that "
                "origin to TTS_CORS_ORIGINS"
            )
            return errors.response(403, said, "origin_not_allowed", "Origin")
        if method not in METHODS:
            said = f"no route has the method {method[:20]!r}; use one of {', '.join(METHODS)}"
            return errors.response(400, said, "method_not_allowed", "Access-Control-Request-Method")
        return super().preflight_response(request_headers)
