"""The limit to this machine while there are no keys, whatever server runs the application."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Receive, Scope, Send

from api.http import errors
from shared.errors import Forbidden, Unavailable
from shared.store.api_keys import ApiKeys

REFUSAL = (
    "without keys, this server answers on this machine only: make a key with `narrate keys create "
    "NAME`, or set TTS_AUTH=open if something else keeps others out"
)


class LoopbackOnly:
    """Answers 403 to what came by an address that others can reach, until there is a key.

    Any ASGI server may run the application, at any address, and does not say so beforehand; each
    request has the address that it came to. A proxy's `X-Forwarded-For` does not change that. A
    proxy on this machine counts as this machine, and decides for itself what it lets in.
    """

    def __init__(self, app: ASGIApp, keys: ApiKeys) -> None:
        self._app = app
        self._keys = keys
        self._has_keys = False  # once there are keys there always are

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        if scope["type"] == "http" and not self._has_keys and is_exposed(scope):
            try:
                self._has_keys = await run_in_threadpool(self._keys.exist)
                if not self._has_keys:
                    raise Forbidden(REFUSAL)
            except (Forbidden, Unavailable) as error:
                return await errors.refusal(error)(scope, receive, send)
        await self._app(scope, receive, send)


def is_exposed(scope: Scope) -> bool:
    """True if a request came to an address of this machine that others can reach.

    A server that does not know its own address knows the client's. At a Unix socket, or in this
    very process, there is neither.
    """
    for side in ("server", "client"):
        host = str((scope.get(side) or ("",))[0])
        if _address(host) is not None:
            return not is_loopback(host)
    return False


def is_loopback(host: str) -> bool:
    """True of an address of the loopback network; a name is none."""
    address = _address(host)
    mapped = getattr(address, "ipv4_mapped", None) or address
    return mapped is not None and mapped.is_loopback


def _address(host: str) -> IPv4Address | IPv6Address | None:
    """The IP address, also one with a zone; None for a name or a path."""
    try:
        return ip_address(host)
    except ValueError:
        return None
