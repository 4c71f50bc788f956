"""What is served."""

from __future__ import annotations

from fastapi import APIRouter

from api.answers import COMMON
from api.deps import Use
from api.schemas import ModelList, ModelObject
from api.sender import Reader

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
