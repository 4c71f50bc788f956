"""Questions to a server that may not be up."""

from __future__ import annotations

import httpx


def answers(url: str) -> bool:
    """True if a GET of the URL succeeds."""
    try:
        return httpx.get(url).is_success
    except httpx.HTTPError:
        return False
