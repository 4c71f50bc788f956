"""The history of a job: what the ledger's steps have noted of its life, by Redis's clock."""

from __future__ import annotations

import logging
from enum import StrEnum
from typing import NamedTuple, cast

from pydantic import Field, ValidationError
from redis import Redis

from shared.records import Record
from shared.store import keys
from shared.store.connection import redis_errors

_log = logging.getLogger(__name__)


class HistoryEvent(StrEnum):
    """The kinds of entries; `lua/history.lua` and the steps write them."""

    ACCEPTED = "accepted"
    QUEUED = "queued"
    CLAIMED = "claimed"
    LOST = "lost"
    ATTEMPT_FAILED = "attempt_failed"
    REQUEUED = "requeued"
    RELEASED = "released"
    UNREADABLE = "unreadable"
    TRUNCATED = "truncated"
    RETRIED = "retried"
    PRIORITISED = "prioritised"
    JOINED = "joined"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    WEBHOOK_DELIVERED = "webhook_delivered"
    WEBHOOK_FAILED = "webhook_failed"
    WEBHOOK_GIVEN_UP = "webhook_given_up"
    WEBHOOK_RESENT = "webhook_resent"
    OMITTED = "omitted"


class HistoryEntry(Record):
    """One entry: its event at a time in Unix seconds, and what is known of it.

    The names in Redis are single letters: there may be millions of entries. `count` is the number
    of the job's segments (`accepted`) or of entries that were left out (`omitted`).
    """

    at: float = Field(alias="t")
    # Text, since a newer version may know more kinds.
    event: str = Field(alias="e")
    segment: str | None = Field(None, alias="s")
    attempt: int | None = Field(None, alias="a")
    worker: str | None = Field(None, alias="w")
    code: str | None = Field(None, alias="c")
    reason: str | None = Field(None, alias="r")
    request: str | None = Field(None, alias="q")
    webhook: str | None = Field(None, alias="k")
    count: int | None = Field(None, alias="n")


class History(NamedTuple):
    """The entries of a job, each with its number, and if there is a history at all.

    A job that was accepted by a version without histories has none.
    """

    entries: list[tuple[int, HistoryEntry]]
    is_recorded: bool


def read_history(redis: Redis, job_id: str, first: int = 0) -> History:
    """The history of a job from entry number `first` on; raises `Unavailable`."""
    key = keys.history(job_id)
    with redis_errors(), redis.pipeline(transaction=False) as pipe:
        pipe.lrange(key, first, -1)
        pipe.exists(key)
        written, exists = cast("tuple[list[str], int]", pipe.execute())
    entries = []
    for number, entry in enumerate(written, first):
        try:
            entries.append((number, HistoryEntry.model_validate_json(entry)))
        except ValidationError:
            _log.warning("An entry of the history of %s is of a newer version: %s", job_id, entry)
    return History(entries, is_recorded=bool(exists))
