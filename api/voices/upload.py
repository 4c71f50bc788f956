"""The form in which a voice is sent, under OpenAI's names."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Depends, Request
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.functional_validators import AfterValidator
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile

from api.http.bodies import body_errors, media_type_of, unique_form_fields
from api.http.bounds import limited_by
from api.services import ServicesDep
from shared.errors import InvalidRequest, TooLarge, UnsupportedMedia

FILE = "audio_sample"
MAX_FIELDS = 10
# What a box that nobody has ticked may send.
NO_CONSENT = ("", "0", "false", "no", "none", "null", "off")
# What a form has beside its file.
FORM_BYTES = 2**16


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("has characters that cannot be seen")
    return text


def _some_or_none(text: str) -> str | None:
    return text or None


_STRIPPED = StringConstraints(strip_whitespace=True, max_length=2_000)
_Text = Annotated[str, _STRIPPED, AfterValidator(_some_or_none)]
_Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=64),
    AfterValidator(_printable),
]
_Language = Annotated[
    str,
    StringConstraints(strip_whitespace=True, to_lower=True, max_length=40),
    AfterValidator(_some_or_none),
]


class Upload(BaseModel):
    """A recording to make a voice of."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "name": "Anna",
                    "consent": "Anna Smith agreed on 1 May 2025, in writing",
                    "ref_text": "The lamp was lit, and nobody spoke for quite a while.",
                }
            ]
        },
    )

    content: Annotated[
        bytes,
        Field(
            alias=FILE,
            description="wav, flac, mp3 or ogg; 10 s is best",
            json_schema_extra=limited_by("TTS_MAX_VOICE_BYTES"),
        ),
    ]
    name: Annotated[_Name, Field(description="How you call it; each only once.")]
    consent: Annotated[
        str,
        StringConstraints(strip_whitespace=True, min_length=1, max_length=2_000),
        Field(description="How the speaker has agreed: a statement, or the id of one."),
    ]
    ref_text: Annotated[
        _Text | None, Field(description="All that is said in it, for the best likeness.")
    ] = None
    language: Annotated[_Language | None, Field(description="Which is spoken in it.")] = None
    description: _Text | None = None


_SCHEMA = Upload.model_json_schema()
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": _SCHEMA,
                "encoding": {FILE: {"contentType": "audio/*"}},
            }
        },
    }
}


async def upload(request: Request, services: ServicesDep) -> AsyncIterator[Upload]:
    """Read the form; raises `InvalidRequest`, `TooLarge` or `UnsupportedMedia`."""
    most = services.settings.max_voice_bytes
    if media_type_of(request) != "multipart/form-data":
        raise UnsupportedMedia(
            f"send a form (multipart/form-data) with the file as {FILE}", param="Content-Type"
        )
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > most + FORM_BYTES:
        raise _too_large(most)
    async with request.form(max_files=1, max_fields=MAX_FIELDS) as form:
        yield await run_in_threadpool(_read, form, most)


Uploaded = Annotated[Upload, Depends(upload)]


def _read(form: FormData, most: int) -> Upload:
    fields: dict[str, Any] = unique_form_fields(form)
    for name, value in fields.items():
        if isinstance(value, UploadFile) != (name == FILE):
            what = "a file" if name == FILE else "no file"
            raise InvalidRequest(f"the field {name[:100]!r} is {what}", param=name[:100])
        fields[name] = _content(value, most) if isinstance(value, UploadFile) else value
    if str(fields.get("consent", "")).strip().casefold() in NO_CONSENT:
        raise InvalidRequest(
            "consent is missing: say how the speaker agreed that this voice is cloned, "
            "by a statement or the id of one",
            param="consent",
        )
    with body_errors():
        return Upload.model_validate(fields)


def _content(file: UploadFile, most: int) -> bytes:
    if (file.size or 0) > most:
        raise _too_large(most)
    return file.file.read()


def _too_large(most: int) -> TooLarge:
    return TooLarge(f"a recording may have {most:,} bytes", param=FILE)
