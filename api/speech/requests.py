"""The body of `POST /v1/audio/speech`: OpenAI's fields, and those of other Qwen3-TTS servers."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from fastapi import Depends, Request
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema
from starlette.concurrency import run_in_threadpool

from api.http.bodies import body_errors, media_type_of
from api.http.bounds import (
    MAX_LANGUAGE_CHARS,
    MAX_MODEL_CHARS,
    MAX_VOICE_CHARS,
    check_json,
    limited_by,
)
from api.http.openapi import request_body
from shared.errors import UnsupportedMedia
from shared.formats import SpeechFormat
from shared.speech_model import Task


class TaskType(StrEnum):
    """A task, under vLLM-omni's name for it."""

    CUSTOM_VOICE = "CustomVoice"
    VOICE_DESIGN = "VoiceDesign"
    BASE = "Base"

    @property
    def task(self) -> Task:
        """The task under the name that jobs use."""
        return {
            self.CUSTOM_VOICE: Task.CUSTOM_VOICE,
            self.VOICE_DESIGN: Task.VOICE_DESIGN,
            self.BASE: Task.VOICE_CLONE,
        }[self]


_VOICE_SCHEMA = {"type": "string", "maxLength": MAX_VOICE_CHARS}
Voice = Annotated[
    Annotated[str, StringConstraints(max_length=MAX_VOICE_CHARS)],
    # OpenAI's clients may send `{"id": ...}` for a voice.
    BeforeValidator(lambda sent: sent["id"] if isinstance(sent, dict) and "id" in sent else sent),
    WithJsonSchema(
        {
            "anyOf": [
                _VOICE_SCHEMA,
                {
                    "type": "object",
                    "properties": {"id": _VOICE_SCHEMA},
                    "required": ["id"],
                    **limited_by("MAX_JSON_TOKENS"),
                },
            ]
        }
    ),
]
# Keys of a field's schema that stay beside its `anyOf`.
ANNOTATION_KEYS = ("title", "description", "default")
Instructions = Annotated[str, StringConstraints(max_length=2_000)]


class SpeechRequest(BaseModel):
    """A text to speak while the client listens.

    Unlike in a job, unknown fields are ignored and `null` means that a field is absent: the many
    clients of OpenAI's API each send fields of their own.
    """

    model_config = ConfigDict(
        frozen=True, extra="ignore", json_schema_extra=limited_by("MAX_JSON_TOKENS")
    )

    input: Annotated[
        str,
        Field(
            description="The text to speak.",
            min_length=1,
            json_schema_extra=limited_by("TTS_MAX_SPEECH_CHARS"),
        ),
    ]
    model: str | None = Field(
        default=None,
        max_length=MAX_MODEL_CHARS,
        description="A served model; `tts-1`, `tts-1-hd`, `gpt-4o-mini-tts` or none: any of them.",
    )
    voice: Voice | None = Field(
        default=None,
        description="One of the model's, or of OpenAI's, which stands for one, or one of yours.",
    )
    instructions: Instructions | None = None
    response_format: SpeechFormat = SpeechFormat.MP3
    speed: float = Field(default=1.0, ge=0.25, le=4, description="2 is twice as fast.")
    stream_format: Literal["audio", "sse"] = "audio"
    task_type: TaskType | None = None
    language: str = Field(
        default="auto",
        max_length=MAX_LANGUAGE_CHARS,
        description="As listed by `/v1/models`, in any case.",
    )
    ref_audio: str | None = Field(
        default=None,
        description="The voice to clone: a file in base64, or a data: URL.",
        json_schema_extra=limited_by("TTS_MAX_BODY_BYTES"),
    )
    ref_text: Instructions | None = Field(
        default=None, description="The words spoken in `ref_audio`."
    )
    x_vector_only_mode: bool = Field(
        default=False, description="True to take only the timbre from `ref_audio`."
    )
    max_new_tokens: int | None = Field(default=None, ge=3, le=8192)
    seed: int | None = Field(default=None, ge=0, lt=2**32)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Add `null` to the types of each field that has a default."""
        described = handler.resolve_ref_schema(handler(core_schema))
        for name, field in described["properties"].items():
            if field.get("default") is not None:
                kept = {key: field.pop(key) for key in ANNOTATION_KEYS if key in field}
                described["properties"][name] = {"anyOf": [field, {"type": "null"}], **kept}
        return described

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, sent: Any) -> Any:
        if not isinstance(sent, dict):
            return sent
        return {name: value for name, value in sent.items() if value is not None}


async def _read_request(request: Request) -> SpeechRequest:
    """Read the body, after the API key was checked."""
    if media_type_of(request) != "application/json":
        raise UnsupportedMedia("send JSON (application/json)", param="Content-Type")
    return await run_in_threadpool(parse_speech_request, await request.body())


def parse_speech_request(content: bytes) -> SpeechRequest:
    """Parse a JSON body; raises `InvalidRequest` with the field that is wrong."""
    check_json(content)
    with body_errors():
        return SpeechRequest.model_validate_json(content, strict=True)


SpeechRequestDep = Annotated[SpeechRequest, Depends(_read_request)]
OPENAPI_BODY = request_body(
    {
        "application/json": {
            "schema": {"$ref": f"#/components/schemas/{SpeechRequest.__name__}"},
            "example": {"model": "tts-1", "voice": "alloy", "input": "The lamp was lit."},
        }
    }
)
