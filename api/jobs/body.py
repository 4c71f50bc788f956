"""The body of a submitted job: its description, and the dependency that reads it."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, get_args

from fastapi import Depends, Request

from api.http.bodies import media_type_of
from api.http.bounds import MAX_FORM_FIELDS, MAX_FORM_FILES, limited_by
from api.http.openapi import REF_TEMPLATE, form_fields, request_body
from api.jobs.requests import REQUEST_CLASSES
from api.jobs.splitting import LONG_BYTES
from api.jobs.submission import NESTED_FIELDS, Submission, parse_form, parse_json
from api.services import services_of
from shared.errors import UnsupportedMedia
from shared.speech_model import Task

# A shorter body is read in the event loop: a trip to another thread takes longer.
SHORT_BYTES = 4_096

# Both media types of the body: FastAPI can describe one only.
_REFS = {
    get_args(kind.model_fields["task"].annotation)[0]: REF_TEMPLATE.format(model=kind.__name__)
    for kind in REQUEST_CLASSES
}
_JSON_SCHEMA = {
    "oneOf": [{"$ref": ref} for ref in _REFS.values()],
    "discriminator": {"propertyName": "task", "mapping": _REFS},
}
_BODY_LIMIT = limited_by("TTS_MAX_BODY_BYTES")
# Fields of the JSON that a form has in another shape, or not at all.
_JSON_ONLY = ("input", "input_format", "task", "reference")


def _form_fields() -> dict[str, Any]:
    """The schemas of what the form shares with the JSON, for all tasks."""
    shared = {
        name: field
        for name, field in form_fields(REQUEST_CLASSES).items()
        if name not in (*_JSON_ONLY, *NESTED_FIELDS)
    }
    nested = {"type": "string", **_BODY_LIMIT}
    return shared | {name: {**nested, "description": f"{name}, as JSON"} for name in NESTED_FIELDS}


_FILE_SCHEMA = {"type": "string", "format": "binary", **_BODY_LIMIT}
_FORM_SCHEMA = {
    "type": "object",
    "required": ["file", "task"],
    "description": f"The fields of the JSON, but `input`; {', '.join(NESTED_FIELDS)} as JSON.",
    "examples": [{"task": "custom_voice", "voice": "vivian", "response_format": "m4b"}],
    "maxProperties": MAX_FORM_FIELDS + MAX_FORM_FILES,
    "properties": {
        "file": {**_FILE_SCHEMA, "description": "txt, md, epub, or a zip of the first two"},
        "task": {"type": "string", "enum": list(Task)},
        **_form_fields(),
        "reference": {**_FILE_SCHEMA, "description": "The recording to clone."},
        "cover": {**_FILE_SCHEMA, "description": "A JPEG or PNG; by default the book's own."},
        "reference_text": {
            "type": "string",
            "maxLength": 2_000,
            "description": "What is said in `reference`.",
        },
    },
}
_FORM_ENCODING = {
    "file": {"contentType": "text/plain, text/markdown, application/epub+zip"},
    "reference": {"contentType": "audio/*"},
    "cover": {"contentType": "image/jpeg, image/png"},
}
BODY = request_body(
    {
        "application/json": {"schema": _JSON_SCHEMA},
        "multipart/form-data": {"schema": _FORM_SCHEMA, "encoding": _FORM_ENCODING},
    }
)


async def read_submission(request: Request) -> Submission:
    """Read the body; a long one is split in the same step, on the splitter's threads."""
    services = services_of(request)
    settings, run = services.settings, services.splitter.run
    kind = media_type_of(request)
    if kind == "application/json":
        content = await request.body()
        if len(content) <= SHORT_BYTES:
            return parse_json(content, settings)
        return await run(request, len(content), partial(parse_json, content, settings))
    if kind == "multipart/form-data":
        async with request.form(max_files=MAX_FORM_FILES, max_fields=MAX_FORM_FIELDS) as form:
            # A file of a few bytes may be a book, since it may be packed.
            return await run(request, LONG_BYTES + 1, partial(parse_form, form, settings))
    raise UnsupportedMedia(
        "send JSON (application/json), or a form with a file (multipart/form-data)",
        param="Content-Type",
    )


SubmissionDep = Annotated[Submission, Depends(read_submission)]
