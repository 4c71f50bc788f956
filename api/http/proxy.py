"""Proxies in front of the server: what they say of a request, and where they show the server."""

from __future__ import annotations

import re

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from shared.settings import ROOT_PATH_PATTERN

# The key of a scope with the `Host` that came, if a proxy says that another was asked for.
SENT_HOST = "sent_host"
_ROOT_PATH = re.compile(ROOT_PATH_PATTERN)
_HOST = re.compile(r"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?")


class ProxyHeaders:
    """Reads the headers of trusted proxies, and sets the path at which clients find this server.

    `X-Forwarded-For`, `-Proto` and `-Host` become the client, the scheme and the host of a request.
    `X-Forwarded-Prefix`, else `root_path`, becomes its root path, which links begin with. Requests
    may come with that path or without it, since some proxies cut it off; so none is taken that
    begins as one of our own paths does: those whose first parts are `own`.
    """

    def __init__(self, app: ASGIApp, *, trusted: str, root_path: str, own: frozenset[str]) -> None:
        # Reads -For and -Proto.
        self._app = ProxyHeadersMiddleware(app, trusted)  # type: ignore[arg-type]  # its own ASGI types
        self._root_path = root_path
        self._own = own

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            root_path, (peer, _) = self._root_path, scope.get("client") or (None, 0)
            if peer in self._app.trusted_hosts:
                headers = Headers(scope=scope)
                # Each proxy names the part that it has cut off, the outermost first.
                values = ",".join(headers.getlist("x-forwarded-prefix")).split(",")
                prefix = "".join(f"/{part}" for each in values if (part := each.strip(" /")))
                if _ROOT_PATH.fullmatch(prefix) and first_part(prefix) not in self._own:
                    root_path = prefix or root_path
                _take_host(scope, headers)
            if root_path:
                scope["root_path"] = root_path
                if not f"{scope['path']}/".startswith(f"{root_path}/"):
                    scope["path"] = root_path + scope["path"]
        await self._app(scope, receive, send)  # type: ignore[arg-type]


def root_path_of(request: Request) -> str:
    """The path of the client's URL before our own paths; empty unless a proxy has put one there."""
    root_path: str = request.scope.get("root_path", "")
    return root_path


def first_part(path: str) -> str:
    """The first part of a path: `v1` of `/v1/jobs`."""
    return path.split("/")[1] if "/" in path else ""


def _take_host(scope: Scope, headers: Headers) -> None:
    """Put the host that the client has asked for in the place of the `Host` that a proxy sent."""
    host = headers.get("x-forwarded-host", "").partition(",")[0].strip()
    if not _HOST.fullmatch(host):
        return
    scope[SENT_HOST] = headers.get("host", "")
    others = [header for header in scope["headers"] if header[0] != b"host"]
    scope["headers"] = [(b"host", host.encode()), *others]
