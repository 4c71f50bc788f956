"""The roster: which workers live, and which model each serves."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import cast

from pydantic import ValidationError
from redis import Redis

from shared.connection import redis_errors
from shared.models import ModelCard

CARDS = "tts:models"
PRESENCE_S = 10
FRESH_S = 0.5
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ServedModel:
    """A model that a worker has offered, and how many workers serve it now."""

    card: ModelCard
    workers: int


class Roster:
    """Who serves what. A card stays when its workers leave: the queue waits for the next one.

    Every method raises `Unavailable` while Redis is away.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def sign_in(self, worker: str, card: ModelCard) -> None:
        """Say that `worker` serves the model, for the next `PRESENCE_S` seconds."""
        with redis_errors():
            now = self._now()
            pipe = self._redis.pipeline()
            pipe.hset(CARDS, card.id, card.model_dump_json())
            pipe.zadd(_presence(card.id), {worker: now + PRESENCE_S})
            pipe.zremrangebyscore(_presence(card.id), "-inf", now)
            pipe.execute()

    def sign_out(self, worker: str, card: ModelCard) -> None:
        """Say that `worker` has stopped."""
        with redis_errors():
            self._redis.zrem(_presence(card.id), worker)

    def models(self) -> list[ServedModel]:
        """Every model that was ever offered, those with live workers first."""
        with redis_errors():
            cards = cast(dict[str, str], self._redis.hgetall(CARDS))
            now = self._now()
            pipe = self._redis.pipeline()
            for name in cards:
                pipe.zcount(_presence(name), now, "+inf")
            counts = pipe.execute()
        served = [
            ServedModel(card, count)
            for card, count in zip(map(_read, cards.values()), counts, strict=True)
            if card is not None
        ]
        return sorted(served, key=lambda model: (model.workers == 0, model.card.id))

    def workers(self) -> set[str]:
        """Every live worker."""
        with redis_errors():
            now = self._now()
            models = cast(list[str], self._redis.hkeys(CARDS))
            return {
                worker
                for model in models
                for worker in cast(
                    list[str], self._redis.zrangebyscore(_presence(model), now, "inf")
                )
            }

    def _now(self) -> float:
        seconds, micros = self._redis.time()
        return seconds + micros / 1e6


class Served:
    """What `Roster.models` says, asked for no more than once in `FRESH_S` seconds."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._models: list[ServedModel] = []
        self._read_s = -FRESH_S

    def models(self) -> list[ServedModel]:
        """The models, as they were a moment ago; no models are always asked for again."""
        if not self._models or time.monotonic() - self._read_s >= FRESH_S:
            self._models, self._read_s = self._roster.models(), time.monotonic()
        return self._models


def _presence(model: str) -> str:
    return f"tts:workers:{model}"


def _read(card: str) -> ModelCard | None:
    try:
        return ModelCard.model_validate_json(card)
    except ValidationError:
        # A worker of another version left it; its next sign-in will write one that we can read.
        _log.warning("Passed over a model card that cannot be read: %s", card)
        return None
