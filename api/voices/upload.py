"""The upload of a voice: its form, under OpenAI's field names, its checks and its files."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated, Any

from fastapi import Depends, Request
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.functional_validators import AfterValidator
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile

from api.auth.caller import Caller
from api.http.bodies import body_errors, media_type_of, unique_form_fields
from api.http.bounds import check_json, limited_by
from api.http.openapi import request_body, without_defaults
from api.services import ServicesDep
from api.text.languages import language_name
from api.voices.presets import is_preset
from api.voices.recording import normalise_recording
from shared.errors import (
    InvalidRequest,
    NameTaken,
    TooLarge,
    TooManyVoices,
    Unavailable,
    UnsupportedMedia,
)
from shared.formats import READABLE_FORMATS
from shared.storage import Storage
from shared.store.voices import (
    VOICE_PREFIX,
    Voice,
    Voices,
    comparable,
    new_voice_id,
    recording_key,
    voice_folder,
)
from shared.store.workers import ServedModel

FILE_FIELD = "audio_sample"
MAX_FIELDS = 10
# Values that an unticked checkbox may send.
CONSENT_REFUSALS = ("", "0", "false", "no", "none", "null", "off")
# The largest size of a form without its file.
MAX_FIELD_BYTES = 2**16


def _require_printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("has characters that cannot be seen")
    return text


def _none_if_empty(text: str) -> str | None:
    return text or None


_STRIPPED = StringConstraints(strip_whitespace=True, max_length=2_000)
_Text = Annotated[str, _STRIPPED, AfterValidator(_none_if_empty)]
_Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=64),
    AfterValidator(_require_printable),
]
_Language = Annotated[
    str,
    StringConstraints(strip_whitespace=True, to_lower=True, max_length=40),
    AfterValidator(lambda text: language_name(text) if text else None),
]


class Upload(BaseModel):
    """A recording to make a voice of, or a finished job."""

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
        bytes | None,
        Field(
            alias=FILE_FIELD,
            description=f"{READABLE_FORMATS}; 10 s is best",
            json_schema_extra=limited_by("TTS_MAX_VOICE_BYTES"),
        ),
    ] = None
    job: Annotated[
        str | None,
        Field(
            max_length=128,
            description="Instead of a recording: a finished job of yours, whose first sentences "
            "become the recording, such as one of `voice_design`.",
        ),
    ] = None
    name: Annotated[_Name, Field(description="Your name for the voice; it must be unique.")]
    consent: Annotated[
        str | None,
        StringConstraints(strip_whitespace=True, min_length=1, max_length=2_000),
        Field(
            description="The speaker's consent: a statement, or the id of one. Not needed for a "
            "job whose voice is no person's."
        ),
    ] = None
    ref_text: Annotated[
        _Text | None, Field(description="All words spoken in it, for the best likeness.")
    ] = None
    language: Annotated[
        _Language | None, Field(description="The language that is spoken in it.")
    ] = None
    description: _Text | None = None


_JSON_SCHEMA = Upload.model_json_schema() | {"required": ["name", "job"]}
_JSON_SCHEMA["properties"] = {
    name: field for name, field in _JSON_SCHEMA["properties"].items() if name != FILE_FIELD
}
_JSON_SCHEMA["examples"] = [{"job": "job_0123", "name": "Sailor"}]
OPENAPI_BODY = request_body(
    {
        "multipart/form-data": {
            "schema": without_defaults(Upload.model_json_schema()),
            "encoding": {FILE_FIELD: {"contentType": "audio/*"}},
        },
        "application/json": {"schema": _JSON_SCHEMA},
    }
)


async def upload(request: Request, services: ServicesDep) -> AsyncIterator[Upload]:
    """Read the form; raises `InvalidRequest`, `TooLarge` or `UnsupportedMedia`."""
    most = services.settings.max_voice_bytes
    kind = media_type_of(request)
    if kind == "application/json":
        content = await request.body()
        check_json(content)
        with body_errors():
            sent = Upload.model_validate_json(content, strict=True)
        if sent.job is not None and sent.content is None:
            yield _checked(sent)
            return
    if kind != "multipart/form-data":
        raise UnsupportedMedia(
            f"send a form (multipart/form-data) with the file as {FILE_FIELD}, or JSON with a job",
            param="Content-Type",
        )
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > most + MAX_FIELD_BYTES:
        raise _too_large(most)
    async with request.form(max_files=1, max_fields=MAX_FIELDS) as form:
        yield await run_in_threadpool(_read, form, most)


Uploaded = Annotated[Upload, Depends(upload)]


def _read(form: FormData, most: int) -> Upload:
    fields: dict[str, Any] = unique_form_fields(form)
    for name, value in fields.items():
        if isinstance(value, UploadFile) != (name == FILE_FIELD):
            what = "a file" if name == FILE_FIELD else "no file"
            raise InvalidRequest(f"the field {name[:100]!r} is {what}", param=name[:100])
        if isinstance(value, UploadFile):
            if (value.size or 0) > most:
                raise _too_large(most)
            fields[name] = value.file.read()
    with body_errors():
        return _checked(Upload.model_validate(fields))


def _checked(upload: Upload) -> Upload:
    """An upload with a recording and consent, or with a job; raises `InvalidRequest`."""
    if upload.content is not None and upload.job is not None:
        raise InvalidRequest(f"send {FILE_FIELD} or job, not both", param="job")
    if upload.job is not None and upload.ref_text is not None:
        raise InvalidRequest("the words of a job are known: leave ref_text out", param="ref_text")
    if upload.content is None and upload.job is None:
        raise InvalidRequest(f"send a recording as {FILE_FIELD}, or a job", param=FILE_FIELD)
    if upload.job is None:
        require_consent(upload)
    return upload


def require_consent(upload: Upload) -> str:
    """The consent of an upload; raises `InvalidRequest` if there is none."""
    if (upload.consent or "").strip().casefold() in CONSENT_REFUSALS:
        raise InvalidRequest(
            "consent is missing: say how the speaker agreed that this voice is cloned, "
            "by a statement or the id of one",
            param="consent",
        )
    assert upload.consent is not None
    return upload.consent


def _too_large(most: int) -> TooLarge:
    return TooLarge(f"a recording may have {most:,} bytes", param=FILE_FIELD)


def check(
    upload: Upload, caller: Caller, served: list[ServedModel], max_reference_s: float
) -> tuple[Voice, bytes]:
    """The voice that an upload makes, with its WAV; raises `InvalidRequest` or `NameTaken`."""
    _check_fields(upload, served)
    consent = require_consent(upload)
    assert upload.content is not None
    recording = normalise_recording(upload.content, upload.ref_text, max_reference_s)
    voice = Voice(
        id=new_voice_id(),
        owner=caller.space,
        name=upload.name,
        consent=consent,
        digest=hashlib.sha256(recording.wav).hexdigest(),
        duration_s=recording.duration_s,
        ref_text=recording.text,
        language=upload.language,
        description=upload.description,
        warnings=recording.warnings,
    )
    return voice, recording.wav


def keep(voice: Voice, wav: bytes, voices: Voices, storage: Storage, max_voices: int) -> Voice:
    """Store a checked voice; raises `NameTaken` or `TooManyVoices`."""
    voices.begin(voice.id)
    try:
        storage.put(recording_key(voice.id), wav)
        return voices.create(voice, most=max_voices)
    except (NameTaken, TooManyVoices):
        # After any other error the voice may be stored; if not, the sweep removes its folder.
        remove_files(voice.id, storage)
        raise


def remove_files(voice_id: str, storage: Storage) -> None:
    """Remove the files of a deleted voice; the sweep removes any that are left."""
    with suppress(Unavailable):
        storage.delete_folder(voice_folder(voice_id))


def _check_fields(upload: Upload, served: list[ServedModel]) -> None:
    if is_preset(upload.name, served):
        raise NameTaken(f"{upload.name!r} is one of the models' own voices", param="name")
    if comparable(upload.name).startswith(VOICE_PREFIX):
        raise InvalidRequest(f"names that begin with {VOICE_PREFIX} are the server's", param="name")
    languages = {name for each in served for name in each.card.languages}
    if upload.language and languages and upload.language not in languages:
        raise InvalidRequest(
            f"no model here has the language {upload.language!r}: {', '.join(sorted(languages))}",
            param="language",
        )
