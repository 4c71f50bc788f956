"""The webhooks that were given up: kept for a week, and sent again at their owner's request."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import cast

from pydantic import ValidationError
from redis import Redis

from shared.errors import WebhookNotFound
from shared.store import keys
from shared.store.connection import redis_errors, server_time_s
from shared.store.scripts import Steps
from shared.store.webhooks import FAILED_EVENT_TTL_S, Event

_log = logging.getLogger(__name__)


class FailedEvent(Event):
    """An event that was given up after its last attempt, when and why."""

    failed_at: float
    reason: str


class FailedWebhooks:
    """The events of each signer that were given up; every method may raise `Unavailable`."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._steps = Steps(redis)

    def of(self, signer: str, *, limit: int) -> list[FailedEvent]:
        """The newest events of a signer, the newest first."""
        return [event for _, event in self.of_all([signer], limit=limit)]

    def of_all(self, signers: Iterable[str], *, limit: int) -> list[tuple[str, FailedEvent]]:
        """The newest events of these signers, each with its signer, the newest first."""
        names = list(signers)
        with redis_errors(), self._redis.pipeline(transaction=False) as pipe:
            for signer in names:
                pipe.zrange(keys.failed_events(signer), 0, limit - 1, desc=True, withscores=True)
            found: list[list[tuple[str, float]]] = pipe.execute()
            # Only the newest of all are read: there may be a thousand of each signer.
            newest = sorted(
                (
                    (at, event_id, signer)
                    for signer, events in zip(names, found, strict=True)
                    for event_id, at in events
                ),
                reverse=True,
            )[:limit]
            for _, event_id, _ in newest:
                pipe.hgetall(keys.event(event_id))
            rows: list[dict[str, str]] = pipe.execute()
        return [
            (signer, event)
            for (_, _, signer), row in zip(newest, rows, strict=True)
            if (event := _read(row)) is not None
        ]

    def count(self, signers: Iterable[str]) -> int:
        """The number of events that are kept of these signers."""
        with redis_errors():
            oldest_s = server_time_s(self._redis) - FAILED_EVENT_TTL_S
            with self._redis.pipeline(transaction=False) as pipe:
                for signer in signers:
                    pipe.zcount(keys.failed_events(signer), f"({oldest_s}", "+inf")
                return sum(pipe.execute())

    def resend(self, signer: str, event_id: str) -> None:
        """Queue an event again, with all its attempts; raises `WebhookNotFound`."""
        if not self._steps.run("webhook_resend", signer, event_id):
            raise WebhookNotFound(
                f"no webhook {event_id[:100]!r} that was given up", param="event_id"
            )

    def signer_of(self, event_id: str) -> str:
        """The signer of an event; raises `WebhookNotFound`."""
        with redis_errors():
            signer = cast("str | None", self._redis.hget(keys.event(event_id), "signer"))
        if signer is None:
            raise WebhookNotFound(f"no webhook {event_id[:100]!r}", param="event_id")
        return signer


def _read(row: dict[str, str]) -> FailedEvent | None:
    if not row:
        return None  # it has expired meanwhile
    try:
        return FailedEvent.model_validate(row)
    except ValidationError:
        _log.warning("Passed over a webhook of another version: %s", row.get("id"))
        return None
