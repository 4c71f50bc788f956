"""What is sent to be spoken: JSON with the text in it, or a form with a file."""

from __future__ import annotations

import base64
import io
import json
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Annotated, Any, BinaryIO

from fastapi import Depends, Request
from pydantic import BaseModel, TypeAdapter
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile

from api import documents
from api.bodies import body_errors, fields_of, kind_of
from api.deps import services_of
from api.requests import KINDS, InputFormat, JobRequest, VoiceClone
from shared.document import Document
from shared.errors import InvalidRequest, UnsupportedMedia
from shared.text import headings

REQUEST: TypeAdapter[JobRequest] = TypeAdapter(JobRequest)
# Fields of a form that hold JSON, since a form knows only texts.
NESTED = ("metadata", "sampling", "webhook_events_filter")
MAX_FIELDS = 40
# Read at once: a trip to another thread takes longer.
SHORT_BYTES = 4_096

# What the body may be, for the description: FastAPI knows of one kind only.
_UNION = {"oneOf": [{"$ref": f"#/components/schemas/{kind.__name__}"} for kind in KINDS]}
_FORM = {
    "type": "object",
    "required": ["file", "task"],
    "description": f"The fields of the JSON, but `input`; {', '.join(NESTED)} as JSON.",
    "examples": [{"task": "custom_voice", "voice": "vivian", "response_format": "m4b"}],
    "properties": {
        "file": {"type": "string", "format": "binary", "description": "txt, md or epub"},
        "task": {"type": "string"},
        "reference": {"type": "string", "format": "binary"},
        "reference_text": {"type": "string"},
    },
}
_ENCODING = {
    "file": {"contentType": "text/plain, text/markdown, application/epub+zip"},
    "reference": {"contentType": "audio/*"},
}
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": _UNION},
            "multipart/form-data": {"schema": _FORM, "encoding": _ENCODING},
        },
    }
}


@dataclass(frozen=True)
class Submission:
    """A request, its text with its chapters, and the form and file that it came in, if it did.

    `live` is what was asked for by somebody who listens while it is spoken.
    """

    request: JobRequest
    document: Document
    form: FormData | None = None
    file: BinaryIO | None = None
    live: BaseModel | None = None

    @property
    def needs_storage(self) -> bool:
        """True if it has a file to be stored, or a recording, or names one that is."""
        return self.file is not None or isinstance(self.request, VoiceClone)

    async def close(self) -> None:
        """Let go of the form's files."""
        if self.form is not None:
            await self.form.close()


def of(request: JobRequest, max_chars: int) -> Submission:
    """Read the text that a request has in itself; raises `InvalidRequest`."""
    if len(request.input) > max_chars:
        raise InvalidRequest(
            f"the input has {len(request.input):,} characters; the most is {max_chars:,}",
            param="input",
        )
    if request.input_format is InputFormat.TEXT:
        return Submission(request, Document(request.input, headings(request.input)))
    file = io.BytesIO(request.input.encode("utf-8", "replace"))
    media_type = request.input_format.media_type
    try:
        read = documents.read(file, name=None, media_type=media_type, max_chars=max_chars)
    except (InvalidRequest, UnsupportedMedia) as error:
        raise type(error)(error.message, param="input") from None
    return Submission(request, read)


def _from_form(form: FormData, max_chars: int) -> Submission:
    """Read a form: the request's fields, `file`, and perhaps `reference`, a sound file."""
    sent = fields_of(form).get("file")
    if not isinstance(sent, UploadFile):
        raise InvalidRequest("send the text's file as the form's field `file`", param="file")
    document = documents.read(
        sent.file, name=sent.filename, media_type=sent.content_type, max_chars=max_chars
    )
    request = _validate(_fields(form) | {"input": document.text})
    return Submission(request, document, form, sent.file)


def _fields(form: FormData) -> dict[str, Any]:
    fields: dict[str, Any] = {
        name: _field(name, value) for name, value in fields_of(form).items() if name != "file"
    }
    said = fields.pop("reference_text", None)
    if "input" in fields:
        raise InvalidRequest("the text comes as `file`; leave input out", param="input")
    if said is not None and "reference" not in fields:
        raise InvalidRequest("reference_text goes with reference", param="reference_text")
    if "reference" in fields:
        fields["reference"] = {"audio": fields["reference"], "text": said}
    return fields


def _field(name: str, value: UploadFile | str) -> Any:
    if isinstance(value, UploadFile):
        if name != "reference":
            raise InvalidRequest(f"the field {name[:100]!r} is no file", param=name[:100])
        return base64.b64encode(value.file.read()).decode()
    if name not in NESTED:
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise InvalidRequest(f"write {name} as JSON", param=name) from None


def _validate(content: bytes | dict[str, Any]) -> JobRequest:
    with body_errors():
        if isinstance(content, dict):
            return REQUEST.validate_python(content)
        return REQUEST.validate_json(content, strict=True)


async def submission(request: Request) -> Submission:
    """Read the body, a long one in a thread, since a book takes a while; close what it returns."""
    max_chars = services_of(request).settings.max_input_chars
    kind = kind_of(request)
    if kind == "application/json":
        content = await request.body()
        if len(content) <= SHORT_BYTES:
            return of(_validate(content), max_chars)
        return await run_in_threadpool(lambda: of(_validate(content), max_chars))
    if kind == "multipart/form-data":
        async with AsyncExitStack() as opened:
            reading = request.form(max_files=2, max_fields=MAX_FIELDS)
            form = await opened.enter_async_context(reading)
            sent = await run_in_threadpool(_from_form, form, max_chars)
            opened.pop_all()
            return sent
    raise UnsupportedMedia(
        "send JSON (application/json), or a form with a file (multipart/form-data)",
        param="Content-Type",
    )


Sent = Annotated[Submission, Depends(submission)]
