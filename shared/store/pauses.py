"""Pauses: models of which an operator lets nothing be claimed."""

from __future__ import annotations

from typing import cast

from redis import Redis

from shared.errors import ModelNotFound
from shared.store import keys
from shared.store.connection import redis_errors
from shared.store.scripts import Steps


class Pauses:
    """The paused models; every method raises `Unavailable` while Redis is away.

    What is being spoken of a paused model goes on, and jobs are accepted and wait. Workers of a
    version before this one know no pause.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._steps = Steps(redis)

    def all(self) -> dict[str, float]:
        """Since when each paused model is, in Unix seconds."""
        return paused_models(self._redis)

    def pause(self, model: str) -> float:
        """Pause a model; returns since when it is. Raises `ModelNotFound`."""
        since = self._steps.run("pause", model)
        if since is None:
            raise _not_found(model)
        return float(since)

    def resume(self, model: str) -> bool:
        """End a pause; False if the model was not paused. Raises `ModelNotFound`."""
        with redis_errors():
            was_paused = bool(self._redis.hdel(keys.PAUSED, model))
        if not was_paused:
            check_model(self._redis, model)
        return was_paused


def check_model(redis: Redis, model: str) -> None:
    """Raise `ModelNotFound` if no worker ever offered the model, and nothing waits for it."""
    with redis_errors():
        is_known = redis.hexists(keys.MODELS, model) or redis.hexists(keys.QUEUES, model)
    if not is_known:
        raise _not_found(model)


def _not_found(model: str) -> ModelNotFound:
    return ModelNotFound(f"no model {model[:100]!r}; `narrate models list` shows them")


def paused_models(redis: Redis) -> dict[str, float]:
    """Since when each paused model is, in Unix seconds; raises `Unavailable`."""
    with redis_errors():
        found = cast(dict[str, str], redis.hgetall(keys.PAUSED))
    return {model: float(since) for model, since in found.items()}
