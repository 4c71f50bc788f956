"""Whether the process lives, and whether it can do its work."""

from __future__ import annotations

from fastapi import APIRouter

from api.answers import AWAY
from api.deps import Use
from api.schemas import Health, Readiness

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def alive() -> Health:
    """Return at once while the process lives."""
    return Health()


@router.get("/readyz", responses=AWAY)
def ready(services: Use) -> Readiness:
    """Return when Redis answers: with or without workers, jobs are accepted."""
    return Readiness(workers=len(services.roster.workers()))
