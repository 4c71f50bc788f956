"""How much may be accepted, and of whom."""

from __future__ import annotations

from typing import NamedTuple

# The owner of jobs that come without a key.
PUBLIC = "public"
NO_LIMIT = 10**12


class Limits(NamedTuple):
    """The most segments that may be open in all; jobs and characters of one owner."""

    open_segments: int = NO_LIMIT
    owner_jobs: int = NO_LIMIT
    owner_chars: int = NO_LIMIT


UNLIMITED = Limits()


class Idempotency(NamedTuple):
    """A client's name for a request, and what tells the request from another of that name."""

    idempotency: str
    fingerprint: str
