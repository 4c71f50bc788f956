"""OpenAPI as it is: what FastAPI knows, and what is read by us."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from api.http.error_body import ErrorBody
from api.jobs.requests import REQUEST_CLASSES
from api.speech.requests import SpeechRequest

SUMMARY = "Submit text, poll the job, fetch the speech."
DESCRIPTION = """\
An asynchronous text-to-speech job queue for Qwen3-TTS.

1. `POST /v1/jobs` accepts a text, or a form with a file, and answers `202` with the job.
2. `GET /v1/jobs/{job_id}` says how it is getting on; `Prefer: wait=30` holds the answer until it
   has ended, and `/events` streams its progress.
3. `GET /v1/jobs/{job_id}/content` is the audio.

Every error is `{"error": {"message", "type", "param", "code"}}`: the message says what to do,
`param` names the field, and `code` is stable. `429` and `503` have a `Retry-After` in seconds.
Every answer has an `x-request-id`, which is yours if you sent one. Times are Unix seconds.

A server with keys (`narrate keys create NAME`) asks for `Authorization: Bearer tts_…` everywhere
but at `/healthz` and `/readyz`. What belongs to another owner is not there for you: `404`.
"""
TAGS = [
    {"name": "jobs", "description": "Submit, follow, list, cancel and delete jobs."},
    {
        "name": "webhooks",
        "description": "What signs the messages that tell of jobs, and those given up.",
    },
    {"name": "speech", "description": "Speech at once, in the shape of OpenAI's API."},
    {"name": "results", "description": "What a completed job has become."},
    {"name": "batches", "description": "Many jobs at once, in the shape of OpenAI's Batch API."},
    {"name": "voices", "description": "Voices to speak with: the models' own, and yours to clone."},
    {"name": "models", "description": "What is served, and how busy it is."},
    {"name": "health", "description": "For whoever keeps the service running."},
]


def describe(app: FastAPI) -> dict[str, Any]:
    """The description, made once.

    FastAPI's own 422 never happens, since a bad field is a 400 here.
    """
    if app.openapi_schema is None:
        app.openapi_schema = get_openapi(
            title=app.title,
            version=app.version,
            summary=app.summary,
            description=app.description,
            tags=app.openapi_tags,
            routes=app.routes,
        )
        for path in app.openapi_schema["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)
        schemas = app.openapi_schema["components"]["schemas"]
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        schemas |= _described()
    return app.openapi_schema


def _described() -> dict[str, Any]:
    """The requests, which are read by us, and the errors, which all routes have."""
    _, described = models_json_schema(
        [(kind, "validation") for kind in (*REQUEST_CLASSES, SpeechRequest, ErrorBody)],
        ref_template="#/components/schemas/{model}",
    )
    schemas: dict[str, Any] = described["$defs"]
    return schemas
