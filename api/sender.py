"""Who sends a request, and whether it was sent before."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Request

from shared.limits import PUBLIC


@dataclass(frozen=True)
class Sender:
    """The owner of what is sent, and the client's own name for this request, if it gave one."""

    owner: str
    idempotency_key: str | None


def sender(
    request: Request,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=255)] = None,
) -> Sender:
    """Read the headers; a bearer token is kept as its hash only."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        return Sender(PUBLIC, idempotency_key)
    return Sender(hashlib.sha256(token.strip().encode()).hexdigest()[:32], idempotency_key)


From = Annotated[Sender, Depends(sender)]
