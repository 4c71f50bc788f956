"""The audit: what operators did, by which key, and how it ended; the newest are kept."""

from __future__ import annotations

from typing import Any, cast

from redis import Redis

from shared.errors import InvalidRequest
from shared.records import Record
from shared.store import keys
from shared.store.connection import redis_errors

MAX_ENTRIES = 10_000
# Of each of the two numbers of an entry's id.
MAX_ID_PART = 2**64 - 1


class AuditEntry(Record):
    """An operator's action; `at` is in Unix seconds by Redis's clock.

    `key` is the id of the API key, empty on a server without keys. `outcome` is `done`, or the code
    of the error.
    """

    id: str
    at: float
    key: str
    owner: str
    action: str
    target: str
    outcome: str
    request: str = ""


class Audit:
    """The stream in Redis; every method raises `Unavailable` while it is away."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def add(self, **fields: str) -> None:
        """Note an action: the fields of `AuditEntry` but its id and time."""
        with redis_errors():
            self._redis.xadd(keys.AUDIT, cast(Any, fields), maxlen=MAX_ENTRIES, approximate=True)

    def newest(self, limit: int, *, before: str | None = None) -> list[AuditEntry]:
        """The newest entries, the newest first; those older than the entry `before`, if given.

        Raises `InvalidRequest` if that is the id of no entry: two numbers of 64 bits.
        """
        newest = "+"
        if before is not None:
            parts = [int(part) for part in before.split("-")]
            if max(parts) > MAX_ID_PART:
                raise InvalidRequest(f"no entry {before!r} to go on from", param="before")
            if not any(parts):
                return []  # nothing is older, and Redis calls such a range an error
            newest = f"({before}"
        with redis_errors():
            found = cast(Any, self._redis.xrevrange(keys.AUDIT, max=newest, count=limit))
        return [
            AuditEntry.model_validate({"id": entry, "at": int(entry.split("-")[0]) / 1e3, **fields})
            for entry, fields in found
        ]
