"""Headers that say how a request is to be taken, as the description has them.

The routes read them themselves: each that FastAPI reads would cost as much as checking a body.
"""

from __future__ import annotations

import re
from typing import Any

from fastapi import Request

from api.http.bounds import limited_by
from shared.errors import InvalidRequest

Header = dict[str, Any]
MOST_CHARS = 255
# The longest that an answer is held for `Prefer: wait` (RFC 7240).
MAX_WAIT_S = 60
MAX_CANCEL_AFTER_S = 30 * 24 * 3_600
_WAIT = re.compile(r"(?:^|[,;])\s*wait\s*=\s*\"?(\d{1,9})\"?\s*(?=$|[,;])", re.I)
_DURATION = re.compile(r"(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,7})s?)?", re.I)


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


def preferred_wait(request: Request) -> int:
    """Seconds that the client wants to wait; other preferences are passed over, as the RFC asks."""
    found = _WAIT.search(request.headers.get("prefer", ""))
    return min(int(found[1]), MAX_WAIT_S) if found else 0


def cancel_after_s(request: Request) -> float | None:
    """Seconds after which a job is to be cancelled; raises `InvalidRequest`."""
    said = request.headers.get("cancel-after")
    if said is None:
        return None
    found = _DURATION.fullmatch(said.strip())
    hours, minutes, seconds = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
    after_s = hours * 3_600 + minutes * 60 + seconds
    if not 1 <= after_s <= MAX_CANCEL_AFTER_S:
        raise InvalidRequest(
            "write it as 90s, 5m or 1h30m, from 1 second to 30 days", param="Cancel-After"
        )
    return float(after_s)
