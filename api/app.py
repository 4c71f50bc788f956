"""The composition root of the API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from api import errors
from api.deps import Services
from api.middleware import BodyLimit, RequestId
from api.requests import KINDS
from api.routes import batches, events, health, job_lists, jobs, models, queue, results
from shared.settings import Settings


def create_app(settings: Settings | None = None) -> FastAPI:
    """Build the application; its connections open at their first use and close when it stops."""
    settings = settings or Settings.load()
    services = Services.open(settings)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        services.close()

    app = FastAPI(
        title="qwen-tts-queue",
        version=version("qwen-tts-queue"),
        summary="Submit text, poll the job, fetch the speech.",
        lifespan=lifespan,
    )
    app.state.services = services
    errors.install(app)
    for module in (jobs, job_lists, events, results, batches, models, queue, health):
        app.include_router(module.router)
    app.openapi = lambda: _describe(app)  # type: ignore[method-assign]  # how FastAPI wants it
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes)
    app.add_middleware(RequestId)
    return app


def _describe(app: FastAPI) -> dict[str, Any]:
    """OpenAPI as it is: FastAPI's own 422 never happens, since a bad field is a 400 here."""
    if app.openapi_schema is None:
        app.openapi_schema = get_openapi(
            title=app.title, version=app.version, summary=app.summary, routes=app.routes
        )
        for path in app.openapi_schema["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)
        schemas = app.openapi_schema["components"]["schemas"]
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        schemas |= _requests()
    return app.openapi_schema


def _requests() -> dict[str, Any]:
    """The requests, which are read by us."""
    _, described = models_json_schema(
        [(kind, "validation") for kind in KINDS], ref_template="#/components/schemas/{model}"
    )
    schemas: dict[str, Any] = described["$defs"]
    return schemas
