"""A worker for each task, as far as the API knows."""

from __future__ import annotations

from redis import Redis

from shared.models import ModelCard
from shared.speech_model import Task
from shared.store.workers import WorkerRegistry


def sign_in(redis: Redis, card: ModelCard) -> None:
    registry = WorkerRegistry(redis)
    registry.sign_in("w1", card)
    design = {"voices": (), "instructions": True}
    registry.sign_in("w2", card.model_copy(update={"id": "d", "task": Task.VOICE_DESIGN, **design}))
    registry.sign_in("w3", card.model_copy(update={"id": "b", "task": Task.VOICE_CLONE, **design}))
