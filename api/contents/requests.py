"""The body of `POST /v1/documents`: JSON with a text in it, or a form with a file."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import Depends, Request
from pydantic import ConfigDict
from starlette.datastructures import FormData

from api.http.bodies import body_errors, media_type_of, unique_form_fields
from api.http.bounds import MAX_FORM_FIELDS, check_json, limited_by
from api.http.openapi import REF_TEMPLATE, form_fields, request_body
from api.jobs.requests import Input, InputFormat, ReadingFields
from api.jobs.splitting import LONG_BYTES
from api.jobs.submission import read_file, read_input
from api.services import services_of
from api.text.cpu_limit import cpu_limit
from shared.document import Document
from shared.errors import InvalidRequest, UnsupportedMedia
from shared.settings import Settings


class DocumentRequest(ReadingFields):
    """A text whose contents are asked for."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"input": "# One\n\nOn.", "input_format": "markdown"}]}
    )

    input: Input
    input_format: InputFormat = InputFormat.TEXT


_FORM_SCHEMA = {
    "type": "object",
    "required": ["file"],
    "description": "A file, and how it is read: the fields of the JSON but `input`.",
    "examples": [{"notes": "read"}],
    "maxProperties": MAX_FORM_FIELDS + 1,
    "properties": {
        "file": {
            "type": "string",
            "format": "binary",
            "description": "txt, md, epub, or a zip of the first two",
            **limited_by("TTS_MAX_BODY_BYTES"),
        },
        **form_fields([ReadingFields]),
    },
}
_ENCODING = {"file": {"contentType": "text/plain, text/markdown, application/epub+zip"}}
BODY = request_body(
    {
        "application/json": {"schema": {"$ref": REF_TEMPLATE.format(model="DocumentRequest")}},
        "multipart/form-data": {"schema": _FORM_SCHEMA, "encoding": _ENCODING},
    }
)


def _read_json(content: bytes, settings: Settings) -> Document:
    check_json(content)
    with cpu_limit(settings.max_split_cpu_s):
        with body_errors():
            request = DocumentRequest.model_validate_json(content, strict=True)
        options = request.reading_options
        return read_input(request.input, request.input_format, options, settings.max_input_chars)


def _read_form(form: FormData, settings: Settings) -> Document:
    """Read the file of a form, which has no other fields than those of the reading."""
    for name in unique_form_fields(form):
        if name != "file" and name not in ReadingFields.model_fields:
            raise InvalidRequest(f"the field {name[:100]!r} is unknown", param=name[:100])
    with cpu_limit(settings.max_split_cpu_s):
        return read_file(form, settings.max_input_chars)


async def read_document(request: Request) -> Document:
    """Read the body on the threads of long texts, so that other requests go on."""
    services = services_of(request)
    settings, run = services.settings, services.splitter.run
    kind = media_type_of(request)
    if kind == "application/json":
        content = await request.body()
        return await run(request, len(content), partial(_read_json, content, settings))
    if kind == "multipart/form-data":
        async with request.form(max_files=1, max_fields=MAX_FORM_FIELDS) as form:
            return await run(request, LONG_BYTES + 1, partial(_read_form, form, settings))
    raise UnsupportedMedia(
        "send JSON (application/json), or a form with a file (multipart/form-data)",
        param="Content-Type",
    )


DocumentDep = Annotated[Document, Depends(read_document)]
