"""Headers that say how a request is to be taken, as the description has them.

The routes read them themselves: each that FastAPI reads would cost as much as checking a body.
"""

from __future__ import annotations

from typing import Any

from fastapi import Request

from api.http.bounds import limited_by
from shared.errors import InvalidRequest

Header = dict[str, Any]
MOST_CHARS = 255


def _header(name: str, description: str, **schema: Any) -> Header:
    said = {"name": name, "in": "header", "required": False, "description": description}
    return said | {"schema": {"type": "string", **schema}}


IDEMPOTENCY_KEY = _header(
    "Idempotency-Key", "The same request is accepted once.", minLength=1, maxLength=MOST_CHARS
)
PREFER = _header(
    "Prefer",
    "`wait=n`: hold the answer for up to n seconds, 60 at the most.",
    **limited_by("MAX_HEAD_BYTES"),
)
CANCEL_AFTER = _header(
    "Cancel-After",
    "Cancel the job if it has not ended by then: `90s`, `5m`, `1h30m`.",
    maxLength=15,
    pattern="^([1-9][0-9]{0,2}h)?([1-9][0-9]{0,3}m)?[1-9][0-9]{0,4}s$",
)


def described(*headers: Header) -> dict[str, Any]:
    """The `openapi_extra` of a route with these headers."""
    return {"parameters": list(headers)}


def idempotency_key(request: Request) -> str | None:
    """The client's name for a request; raises `InvalidRequest`."""
    key = request.headers.get("idempotency-key")
    if key is not None and not 1 <= len(key) <= MOST_CHARS:
        raise InvalidRequest(f"send 1 to {MOST_CHARS} characters", param="Idempotency-Key")
    return key
