"""The answers that are not a success, as the description of each route has them."""

from __future__ import annotations

from typing import Any

from api.http.error_body import ErrorBody

Answers = dict[int | str, dict[str, Any]]


def error(status: int, description: str) -> Answers:
    """One of them."""
    content = {
        "application/json": {"schema": {"$ref": f"#/components/schemas/{ErrorBody.__name__}"}}
    }
    return {status: {"description": description, "content": content}}


BAD = error(400, "A field is wrong; `param` names it")
NO_KEY = error(401, "A key is needed, and none or a wrong one was sent")
NOT_ALLOWED = error(403, "The key has not the scope for this")
AWAY = error(503, "Try again after `Retry-After` seconds")
BUSY = error(429, "Too much at once, or of today's share: try again after `Retry-After` seconds")
# What every route behind a key may answer.
COMMON = BAD | NO_KEY | NOT_ALLOWED | BUSY | AWAY
MISSING = COMMON | error(404, "No such job")
REFUSALS = (
    COMMON
    | error(409, "The `Idempotency-Key`, or your id, came with another request before")
    | error(408, "The body does not come")
    | error(413, "The body is too large")
    | error(415, "Neither JSON nor a form, or a file of another kind")
)
NOT_READY = MISSING | error(409, "Not ready, or never will be")
