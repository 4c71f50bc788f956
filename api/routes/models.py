"""What is served: models and their voices."""

from __future__ import annotations

from fastapi import APIRouter

from api.answers import COMMON
from api.deps import Use
from api.schemas import ModelList, ModelObject, Voice, VoiceList
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


@router.get("/audio/voices", responses=COMMON)
def voices(services: Use, _sender: Reader) -> VoiceList:
    """List the voices of the served models."""
    listed = [
        Voice(id=voice, name=voice.replace("_", " ").title(), model=served.card.id)
        for served in services.roster.models()
        for voice in served.card.voices
    ]
    return VoiceList(voices=listed, data=listed)
