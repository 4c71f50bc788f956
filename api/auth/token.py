"""The token of a request, which names its API key."""

from __future__ import annotations

from starlette.requests import Request


def token_of(request: Request) -> str:
    """The key that a request has in `Authorization` or `X-API-Key`; empty without one."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    bearer = token.strip() if scheme.lower() == "bearer" else ""
    return bearer or request.headers.get("x-api-key", "").strip()
