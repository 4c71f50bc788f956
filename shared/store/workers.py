"""The registry of workers: those that live, and the models that each serves."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

from pydantic import ValidationError
from redis import Redis

from shared.errors import ModelInUse, ModelNotFound, OtherWeights
from shared.models import ModelCard
from shared.store import keys
from shared.store.connection import redis_errors, server_time_s
from shared.store.scripts import Steps

PRESENCE_TTL_S = 10
# Seconds for which a worker may sign in between the reading of the clock and that of the workers.
SIGN_IN_TOLERANCE_S = 10
# Seconds within which a live worker's presence ends; a later end was written before the clock was
# set back.
MAX_PRESENCE_S = PRESENCE_TTL_S + SIGN_IN_TOLERANCE_S
DAY_S = 24 * 3_600.0
MAX_MODELS_AGE_S = 0.5
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ServedModel:
    """A model that a worker has offered, and how many workers serve it now.

    `seen_s` is when the last worker signed in, in Unix seconds by Redis's clock; now, if no worker
    has noted it.
    """

    card: ModelCard
    workers: int
    seen_s: float = 0.0


class WorkerRegistry:
    """The workers and their models.

    A model stays on offer for `model_ttl_s` seconds after its last worker has left: jobs for it
    wait for the next one. Its card stays until it is forgotten. Every method raises `Unavailable`
    while Redis is away.
    """

    def __init__(self, redis: Redis, *, model_ttl_s: float = DAY_S) -> None:
        self._redis = redis
        self._model_ttl_s = model_ttl_s
        self._steps = Steps(redis)

    def sign_in(self, worker: str, *cards: ModelCard) -> None:
        """Say that `worker` serves these models, for the next `PRESENCE_TTL_S` seconds."""
        with redis_errors():
            now = server_time_s(self._redis)
            pipe = self._redis.pipeline()
            for card in cards:
                pipe.hset(keys.MODELS, card.id, card.model_dump_json())
                pipe.zadd(keys.MODELS_SEEN, {card.id: now})
                pipe.zadd(keys.workers(card.id), {worker: now + PRESENCE_TTL_S})
                pipe.zremrangebyscore(keys.workers(card.id), "-inf", now)
                pipe.zremrangebyscore(keys.workers(card.id), now + MAX_PRESENCE_S, "+inf")
            pipe.hkeys(keys.MODELS)
            pipe.zrange(keys.MODELS_SEEN, 0, -1)
            names, noted = pipe.execute()[-2:]
            # Cards of workers of an older version, which does not note the time: it begins now.
            if new := set(names) - set(noted):
                self._redis.zadd(keys.MODELS_SEEN, dict.fromkeys(new, now), nx=True)

    def claim_name(self, worker: str, card: ModelCard, lease_s: float) -> None:
        """Have a model's name stand for the weights of `worker`; raises `OtherWeights`.

        It is refused while another worker may speak segments of other weights, or some wait: a job
        would begin with one voice and end with another. `worker` is signed in by the same step, so
        that no other weights come in between.
        """
        held, workers, waiting = self._steps.run(
            *("weights", card.id, card.weights, worker, keys.workers(card.id)),
            *(PRESENCE_TTL_S, lease_s),
        )
        if held != card.weights:
            raise OtherWeights(
                f"{card.id} has other weights: here {card.weights}, elsewhere {held} (live "
                f"workers: {workers}, segments that wait: {waiting}); give this model another name "
                "(another folder), or stop those workers once nothing waits"
            )

    def sign_out(self, worker: str, *cards: ModelCard) -> None:
        """Say that `worker` has stopped serving these models."""
        with redis_errors():
            for card in cards:
                self._redis.zrem(keys.workers(card.id), worker)

    def models(self) -> list[ServedModel]:
        """Every model on offer, those with live workers first."""
        now, known = self._look()
        oldest = now - self._model_ttl_s
        return [model for model in known if model.workers or model.seen_s > oldest]

    def known(self) -> list[ServedModel]:
        """Every model that was ever offered and is not forgotten, those with live workers first."""
        return self._look()[1]

    def workers(self) -> set[str]:
        """Every live worker."""
        with redis_errors():
            now = server_time_s(self._redis)
            models = cast(list[str], self._redis.hkeys(keys.MODELS))
            return {
                worker
                for model in models
                for worker in cast(
                    list[str],
                    self._redis.zrangebyscore(keys.workers(model), now, now + MAX_PRESENCE_S),
                )
            }

    def forget(self, model: str) -> None:
        """Forget a model as if it had never been offered; the next worker offers it again.

        Raises `ModelNotFound`, or `ModelInUse` while a worker lives or segments wait for it.
        """
        found, workers, waiting = self._steps.run(
            "model_forget", model, keys.workers(model), MAX_PRESENCE_S
        )
        if not found:
            raise ModelNotFound(f"no model {model!r}; `narrate models list` shows them")
        if workers:
            raise ModelInUse(f"{model} has live workers ({workers}): stop them first")
        if waiting:
            raise ModelInUse(
                f"segments wait for {model} ({waiting}): start a worker of it, or cancel their jobs"
            )

    def _look(self) -> tuple[float, list[ServedModel]]:
        with redis_errors():
            now = server_time_s(self._redis)
            # A full Redis refuses even to read in a transaction.
            pipe = self._redis.pipeline(transaction=False)
            pipe.hgetall(keys.MODELS)
            pipe.zrange(keys.MODELS_SEEN, 0, -1, withscores=True)
            cards, scores = pipe.execute()
            seen = dict(scores)
            for name in cards:
                pipe.zcount(keys.workers(name), now, now + MAX_PRESENCE_S)
            counts = pipe.execute()
        known = [
            ServedModel(card, count, seen.get(name, now))
            for name, text, count in zip(cards, cards.values(), counts, strict=True)
            if (card := _read(text)) is not None
        ]
        return now, sorted(known, key=lambda model: (model.workers == 0, model.card.id))


def count_workers(redis: Redis, models: Iterable[str]) -> dict[str, int]:
    """The number of live workers of each of these models; raises `Unavailable`."""
    wanted = list(dict.fromkeys(models))
    if not wanted:
        return {}
    with redis_errors():
        now = server_time_s(redis)
        pipe = redis.pipeline()
        for model in wanted:
            pipe.zcount(keys.workers(model), now, now + MAX_PRESENCE_S)
        return dict(zip(wanted, pipe.execute(), strict=True))


class CachedModels:
    """The answer of `WorkerRegistry.models`, cached for `MAX_MODELS_AGE_S` seconds."""

    def __init__(self, registry: WorkerRegistry) -> None:
        self._registry = registry
        self._models: list[ServedModel] = []
        self._read_s = -MAX_MODELS_AGE_S

    def models(self) -> list[ServedModel]:
        """The models; an empty list is never cached: a worker may be about to sign in."""
        if not self._models or time.monotonic() - self._read_s >= MAX_MODELS_AGE_S:
            self._models, self._read_s = self._registry.models(), time.monotonic()
        return self._models


def _read(card: str) -> ModelCard | None:
    try:
        return ModelCard.model_validate_json(card)
    except ValidationError:
        # A worker of another version left it; its next sign-in will write one that we can read.
        _log.warning("Passed over a model card that cannot be read: %s", card)
        return None
