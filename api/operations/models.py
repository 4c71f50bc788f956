"""The served models and the state of their queues."""

from __future__ import annotations

from fastapi import APIRouter

from api.auth.scopes import CanRead
from api.http.openapi import COMMON
from api.operations.responses import Counts, ModelList, ModelObject, ModelQueue, QueueObject
from api.services import ServicesDep
from shared.store.queue_stats import QueueState

router = APIRouter(prefix="/v1", tags=["models"])


@router.get("/models", responses=COMMON)
def models(services: ServicesDep, _caller: CanRead) -> ModelList:
    """List every model that workers serve."""
    return ModelList(
        data=[
            ModelObject(**served.card.model_dump(), workers=served.workers)
            for served in services.registry.models()
        ]
    )


@router.get("/queue", responses=COMMON)
def queue(services: ServicesDep, _caller: CanRead) -> QueueObject:
    """Return how much waits for each model, who speaks, and how fast."""
    state = QueueState.read(services.redis)
    offered = {served.card.id for served in services.registry.models()}
    return QueueObject(
        workers=len(services.registry.workers()),
        segments=Counts(queued=sum(state.queued.values()), in_progress=state.segments_in_progress),
        jobs=Counts(
            queued=state.jobs_open - state.jobs_in_progress, in_progress=state.jobs_in_progress
        ),
        models=[
            ModelQueue(
                id=served.card.id,
                task=served.card.task,
                workers=served.workers,
                queued=state.queued.get(served.card.id, 0),
            )
            for served in services.registry.known()
            if served.card.id in offered or served.card.id in state.queued
        ],
        segments_per_minute=round(60 * state.segments_per_s, 1),
        audio_seconds_per_second=round(state.audio_s_per_s, 2),
    )
