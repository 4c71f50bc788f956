"""What is served."""

from __future__ import annotations

from fastapi import APIRouter

from api.auth import Reader
from api.http.answers import COMMON
from api.operations.responses import ModelList, ModelObject
from api.services import Use

router = APIRouter(prefix="/v1", tags=["models"])


@router.get("/models", responses=COMMON)
def models(services: Use, _sender: Reader) -> ModelList:
    """List every model that workers serve."""
    return ModelList(
        data=[
            ModelObject(**served.card.model_dump(), workers=served.workers)
            for served in services.roster.models()
        ]
    )
