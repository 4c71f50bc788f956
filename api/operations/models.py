"""The list of served models."""

from __future__ import annotations

from fastapi import APIRouter

from api.auth.scopes import CanRead
from api.http.openapi import COMMON
from api.operations.responses import ModelList, ModelObject
from api.services import ServicesDep

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
