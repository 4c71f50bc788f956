"""The description of the API: its texts, errors and headers, and the bodies that routes read."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api.http.bounds import limited_by
from api.http.errors import ErrorBody
from api.http.headers import MAX_KEY_CHARS

Answers = dict[int | str, dict[str, Any]]
Header = dict[str, Any]
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

A server with keys (`narrate keys create NAME`) asks for `Authorization: Bearer tts_…`, or
`X-API-Key: tts_…`, everywhere but at `/healthz` and `/readyz`. What belongs to another owner is not
there for you: `404`.
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
    {"name": "admin", "description": "Operate the service, with a key of the scope `admin`."},
    {"name": "health", "description": "For the operators of the service."},
]


REF_TEMPLATE = "#/components/schemas/{model}"
# The contents of answers that are no JSON.
BINARY = {"schema": {"type": "string", "format": "binary"}}
TEXT = {"schema": {"type": "string"}}


def error(status: int, description: str) -> Answers:
    """An answer that is not a success, as the description of a route has it."""
    content = {
        "application/json": {"schema": {"$ref": f"#/components/schemas/{ErrorBody.__name__}"}}
    }
    return {status: {"description": description, "content": content}}


BAD = error(400, "A field is wrong; `param` names it")
NO_KEY = error(401, "A key is needed, and none or a wrong one was sent")
NOT_ALLOWED = error(403, "The key has not the scope for this")
AWAY = error(503, "Try again after `Retry-After` seconds")
BUSY = error(429, "Too much at once, or of today's share: try again after `Retry-After` seconds")
# What every route behind a key may answer.
COMMON = BAD | NO_KEY | NOT_ALLOWED | BUSY | AWAY
MISSING = COMMON | error(404, "No such job")
REFUSALS = (
    COMMON
    | error(409, "The `Idempotency-Key`, or your id, came with another request before")
    | error(408, "The body does not come")
    | error(413, "The body is too large")
    | error(415, "Neither JSON nor a form, or a file of another kind")
)
NOT_READY = MISSING | error(409, "Not ready, or never will be")


def _header(name: str, description: str, **schema: Any) -> Header:
    """The description of a header that routes read themselves."""
    said = {"name": name, "in": "header", "required": False, "description": description}
    return said | {"schema": {"type": "string", **schema}}


IDEMPOTENCY_KEY = _header(
    "Idempotency-Key", "The same request is accepted once.", minLength=1, maxLength=MAX_KEY_CHARS
)
PREFER = _header(
    "Prefer",
    "`wait=n`: hold the answer for up to n seconds, 60 at the most.",
    **limited_by("MAX_HEAD_BYTES"),
)
CANCEL_AFTER = _header(
    "Cancel-After",
    "Cancel the job if it has not ended by then: `90s`, `5m`, `1h30m`.",
    minLength=1,
    maxLength=22,
    pattern="^([0-9]{1,6}[hH])?([0-9]{1,6}[mM])?([0-9]{1,7}[sS]?)?$",
)


def described(*headers: Header) -> dict[str, Any]:
    """The `openapi_extra` of a route with these headers."""
    return {"parameters": list(headers)}


def request_body(content: dict[str, Any]) -> dict[str, Any]:
    """The `openapi_extra` of a route that reads its body itself: its schemas by media type."""
    return {"requestBody": {"required": True, "content": content}}


def without_defaults(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a body whose default values are told in the descriptions of its fields.

    Generators of TypeScript (openapi-typescript) take a field with a `default` for one that is
    always there, so that a client would have to send it.
    """
    for field in schema.get("properties", {}).values():
        default = field.pop("default", None)
        if isinstance(default, (str, int, float)):
            value = default if isinstance(default, str) else json.dumps(default)
            field["description"] = f"{field.get('description', '')} Default: `{value}`.".strip()
    return schema


def form_fields(models: Iterable[type[BaseModel]]) -> dict[str, Any]:
    """The schemas of what a form shares with the JSON of some models; nothing is null there."""
    fields: dict[str, Any] = {}
    for model in models:
        schema = without_defaults(model.model_json_schema(ref_template=REF_TEMPLATE))
        for name, field in schema["properties"].items():
            types = [each for each in field.pop("anyOf", []) if each != {"type": "null"}]
            fields.setdefault(name, field | types[0] if types else field)
    return fields


def describe(app: FastAPI, request_models: Iterable[type[BaseModel]]) -> dict[str, Any]:
    """The description, made once, with the models of the bodies that routes read.

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
        models: list[type[BaseModel]] = [*request_models, ErrorBody]
        _, described_models = models_json_schema(
            [(model, "validation") for model in models],
            ref_template=REF_TEMPLATE,
        )
        schemas |= {
            name: without_defaults(schema) for name, schema in described_models["$defs"].items()
        }
    return app.openapi_schema
