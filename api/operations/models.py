"""The served models and the state of their queues."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Path

from api.auth.scopes import CanList, CanRead
from api.http.bounds import MAX_MODEL_CHARS
from api.http.openapi import COMMON, error
from api.jobs.aliases import ANY_NAME, is_openai_model, is_served
from api.operations.responses import (
    Counts,
    ModelList,
    ModelObject,
    ModelQueue,
    QueueObject,
    SpeechModelList,
)
from api.services import Services, ServicesDep
from shared.errors import ModelNotFound
from shared.models import full_name
from shared.store.queue_state import QueueState
from shared.store.workers import ServedModel

router = APIRouter(prefix="/v1", tags=["models"])


ModelId = Annotated[
    str,
    Path(
        max_length=MAX_MODEL_CHARS,
        description="The id, which may have slashes, a short name or an alias.",
    ),
]


@router.get("/models", operation_id="list_models", responses=COMMON)
def models(services: ServicesDep, _caller: CanList) -> ModelList:
    """List every model that workers serve, and the names that stand for one."""
    return ModelList(data=_listed(services))


@router.get("/audio/models", operation_id="list_speech_models", responses=COMMON)
def speech_models(services: ServicesDep, _caller: CanList) -> SpeechModelList:
    """List the models as clients of OpenAI's speech API ask for them."""
    listed = _listed(services)
    return SpeechModelList(data=listed, models=listed)


@router.get(
    "/models/{model_id:path}",
    operation_id="get_model",
    responses=COMMON | error(404, "No such model"),
)
def model(model_id: ModelId, services: ServicesDep, _caller: CanList) -> ModelObject:
    """Return a model by its id, its short name or a name that stands for it."""
    served = services.registry.models()
    name = services.aliases.model(model_id, served)
    found = None if name is None else _object(model_id.strip(), name, served)
    if found is None:
        names = ", ".join(each.card.id for each in served) or "none"
        raise ModelNotFound(
            f"no worker serves {model_id[:100]!r}; served here: {names}", param="model_id"
        )
    return found


def _listed(services: Services) -> list[ModelObject]:
    """The served models, and the aliases that stand for one of them."""
    served = services.registry.models()
    objects = [_object(each.card.id, each.card.id, served) for each in served]
    for alias in services.settings.model_alias_table:
        if alias == ANY_NAME or is_served(alias, served):
            continue
        with suppress(ModelNotFound):
            objects.append(_object(alias, services.aliases.model(alias, served), served))
    return [each for each in objects if each is not None]


def _object(asked: str, name: str | None, served: list[ServedModel]) -> ModelObject | None:
    """The model called `name`, under the name that was asked for; None if it is not served.

    A name of OpenAI's is the first of the served models.
    """
    wanted = {name.lower(), full_name(name).lower()} if name else set()
    found = next((each for each in served if each.card.id.lower() in wanted), None)
    if found is None and is_openai_model(name):
        found = next(iter(served), None)
    if found is None:
        return None
    of_own_name = is_served(asked, served)
    return ModelObject(
        **found.card.model_dump() | {"id": found.card.id if of_own_name else asked},
        workers=found.workers,
        alias_of=None if of_own_name else found.card.id,
    )


@router.get("/queue", operation_id="get_queue", responses=COMMON)
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
