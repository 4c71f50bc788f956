"""Batches: many jobs sent as one, counted as they end."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import Any, cast

from redis import Redis

from shared.errors import BatchNotFound, KeyReused, Unavailable
from shared.records import Record
from shared.store import keys
from shared.store.connection import redis_errors
from shared.store.scripts import Steps

BATCH_PREFIX = "batch_"
PAGE_SIZE = 500


class BatchLine(Record):
    """One line of a batch: the client's own name for it, and the job that it became.

    A line that was skipped, since it was wrong, has an `error` and no job.
    """

    custom_id: str
    job_id: str = ""
    error: str | None = None
    error_code: str | None = None


class Batch(Record):
    """A batch as the ledger holds it; times in Unix seconds.

    `open` jobs have not ended; `invalid` lines were skipped, and are not in `total`. Without
    `admitted_at`, not all of its jobs are accepted yet.
    """

    id: str
    owner: str
    endpoint: str
    created_at: float
    total: int
    invalid: int = 0
    open: int
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    admitted_at: float | None = None
    cancelling_at: float | None = None
    completed_at: float | None = None


class Batches:
    """Batches in Redis; their jobs are the ledger's. Every method may raise `Unavailable`."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._steps = Steps(redis)

    def begin(
        self,
        batch_id: str,
        *,
        owner: str,
        endpoint: str,
        fingerprint: str,
        total: int,
        invalid: int = 0,
        ttl_s: float,
    ) -> None:
        """Make a batch, whose `total` jobs are to be admitted next; an existing one stays.

        It is kept for `ttl_s` seconds after the last job's end. Raises `KeyReused` if another batch
        has this id.
        """
        batch = {
            "id": batch_id,
            "owner": owner,
            "endpoint": endpoint,
            "fingerprint": fingerprint,
            "total": total,
            "invalid": invalid,
            "ttl_s": math.ceil(ttl_s),
        }
        if self._steps.run("batch_begin", json.dumps(batch)) != fingerprint:
            raise KeyReused("this key came with another batch before", param="Idempotency-Key")

    def admitted(self, batch_id: str, lines: Sequence[BatchLine]) -> None:
        """Note that all jobs of a batch are accepted; noting it again changes nothing.

        Raises `Unavailable` if the batch was abandoned meanwhile.
        """
        written = [line.model_dump_json() for line in lines]
        there = all(
            self._steps.run("batch_lines", batch_id, first, *written[first : first + PAGE_SIZE])
            for first in range(0, len(written), PAGE_SIZE)
        )
        if not (there and self._steps.run("batch_admitted", batch_id)):
            raise Unavailable("the batch was refused where it was sent, too: send it again")

    def batch(self, batch_id: str) -> Batch:
        """The batch as it stands; raises `BatchNotFound`."""
        fields: dict[str, Any] = {}
        if ":" not in batch_id:  # what follows a colon is a part of a batch
            with redis_errors():
                fields = cast(dict[str, Any], self._redis.hgetall(keys.batch(batch_id)))
        if not fields:
            raise BatchNotFound(f"no batch {batch_id!r}", param="batch_id")
        return Batch.model_validate(fields)

    def lines(self, batch_id: str) -> Iterator[BatchLine]:
        """The lines of a batch in order, some hundreds at a time."""
        first = 0
        while True:
            with redis_errors():
                found = cast(
                    list[str],
                    self._redis.lrange(keys.batch_lines(batch_id), first, first + PAGE_SIZE - 1),
                )
            yield from map(BatchLine.model_validate_json, found)
            if len(found) < PAGE_SIZE:
                return
            first += PAGE_SIZE

    def cancelling(self, batch_id: str) -> None:
        """Note that a client cancels the batch's jobs, unless they have all ended."""
        self._steps.run("batch_cancelling", batch_id)

    def abandon(self, batch_id: str) -> bool:
        """Delete a batch, but none of its jobs; False if all of them were accepted before."""
        return bool(self._steps.run("batch_abandon", batch_id))
