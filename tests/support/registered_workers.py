"""A worker for each task, as far as the API knows."""

from __future__ import annotations

from redis import Redis

from shared.models import Compute, ModelCard
from shared.speech_model import Task
from shared.store.workers import WorkerRegistry


def sign_in(redis: Redis, card: ModelCard) -> None:
    registry = WorkerRegistry(redis)
    registry.sign_in("w1", card)
    design = {"voices": (), "instructions": True}
    compute = Compute(
        precision="float32", language_model="kernel", codec="float32", int8_speedup=2.2
    )
    designs = {"id": "d", "task": Task.VOICE_DESIGN, "compute": compute}
    registry.sign_in("w2", card.model_copy(update={**designs, **design}))
    registry.sign_in("w3", card.model_copy(update={"id": "b", "task": Task.VOICE_CLONE, **design}))
