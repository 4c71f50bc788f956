"""Headers that say how a request is to be taken, as the routes read them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import quote

from fastapi import Request

from shared.errors import InvalidRequest

MAX_KEY_CHARS = 255
# The longest that an answer is held for `Prefer: wait` (RFC 7240).
MAX_WAIT_S = 60
MAX_CANCEL_AFTER_S = 30 * 24 * 3_600
MAX_LISTED_NAMES, MAX_NAME_CHARS = 20, 64
_WAIT = re.compile(r"(?:^|[,;])\s*wait\s*=\s*\"?(\d{1,9})\"?\s*(?=$|[,;])", re.I)
_DURATION = re.compile(r"(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,7})s?)?", re.I)


def idempotency_key(request: Request) -> str | None:
    """The client's name for a request; raises `InvalidRequest`."""
    key = request.headers.get("idempotency-key")
    if key is not None and not 1 <= len(key) <= MAX_KEY_CHARS:
        raise InvalidRequest(f"send 1 to {MAX_KEY_CHARS} characters", param="Idempotency-Key")
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


def header_list(names: Sequence[str]) -> str:
    """A header's value with names of a client's in it, at most `MAX_LISTED_NAMES`; others encoded.

    Example: `voice_id, b%C3%BC, and 3 more`. A name without a character is `""`: a value may not
    end in a space.
    """
    listed = [quote(name[:MAX_NAME_CHARS], safe="") or '""' for name in names[:MAX_LISTED_NAMES]]
    if len(names) > MAX_LISTED_NAMES:
        listed.append(f"and {len(names) - MAX_LISTED_NAMES:,} more")
    return ", ".join(listed)
