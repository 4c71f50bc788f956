"""The webhooks that were given up: kept for a week, and sent again at their owner's request."""

from __future__ import annotations

import logging
from typing import cast

from pydantic import ValidationError
from redis import Redis

from shared.errors import WebhookNotFound
from shared.store import keys
from shared.store.connection import redis_errors
from shared.store.scripts import Steps
from shared.store.webhooks import Event

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
        with redis_errors():
            key = keys.failed_events(signer)
            ids = cast(list[str], self._redis.zrange(key, 0, limit - 1, desc=True))
            with self._redis.pipeline(transaction=False) as pipe:
                for event_id in ids:
                    pipe.hgetall(keys.event(event_id))
                rows = pipe.execute()
        return [event for row in rows if (event := _read(row)) is not None]

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
