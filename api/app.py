"""The composition root of the API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from api import errors
from api.deps import Services
from api.description import DESCRIPTION, SUMMARY, TAGS, describe
from api.middleware import BodyLimit, RequestId
from api.routes import (
    batches,
    events,
    health,
    job_lists,
    jobs,
    models,
    page,
    queue,
    results,
    speech,
)
from shared.settings import Settings

# In the order in which the description has them.
ROUTES = (jobs, job_lists, events, results, batches, speech, models, queue, health, page)


def create_app(settings: Settings | None = None) -> FastAPI:
    """Build the application; its connections open at their first use and close when it stops."""
    settings = settings or Settings.load()
    services = Services.open(settings)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await services.close()

    # Its documentation page loads nothing from elsewhere, as FastAPI's own does.
    app = FastAPIOffline(
        redoc_url=None,
        title="qwen-tts-queue",
        version=version("qwen-tts-queue"),
        summary=SUMMARY,
        description=DESCRIPTION,
        openapi_tags=TAGS,
        lifespan=lifespan,
    )
    app.state.services = services
    errors.install(app)
    for module in ROUTES:
        app.include_router(module.router)
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]  # how FastAPI wants it
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes)
    app.add_middleware(RequestId)
    return app
