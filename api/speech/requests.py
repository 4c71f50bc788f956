"""The body of `POST /v1/audio/speech`: OpenAI's fields, and those of other Qwen3-TTS servers."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal, Self, TypeVar

from fastapi import Depends, Request
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    PrivateAttr,
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
from api.http.fields import NUMBER_TEXT_SCHEMA, lower_case, number_from_text
from api.http.openapi import request_body
from api.text.languages import language_name
from api.text.numbers import Normalise
from shared.errors import InvalidRequest, UnsupportedMedia
from shared.formats import SpeechFormat
from shared.jobs import NewTokens, RepetitionPenalty, Temperature, TopK, TopP
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


NO_SEED = -1
NUMBER_FIELDS = (
    *("speed", "seed", "temperature", "top_k", "top_p", "repetition_penalty", "max_new_tokens"),
)
_T = TypeVar("_T")
_Number = Annotated[_T, BeforeValidator(number_from_text)]


class SpeechRequest(BaseModel):
    """A text to speak while the client listens.

    Unlike in a job, unknown fields are ignored, and named by `ignored_fields`; `null` means that a
    field is absent, and a number may be a text: the many clients of OpenAI's API each send fields
    of their own.
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
        description="A served model or an alias; a name of OpenAI's (`tts-1…`, `gpt-4o…-tts…`) or "
        "none: any of them.",
    )
    voice: Voice | None = Field(
        default=None,
        description="One of the model's, or of OpenAI's, which stands for one, or one of yours, or "
        "an alias; the default one for none.",
    )
    instructions: Instructions | None = None
    instruct: Instructions | None = Field(
        default=None, description="`instructions`, as other servers of Qwen3-TTS call them."
    )
    response_format: Annotated[SpeechFormat, BeforeValidator(lower_case)] = SpeechFormat.MP3
    speed: _Number[float] = Field(default=1.0, ge=0.25, le=4, description="2 is twice as fast.")
    stream_format: Literal["audio", "sse"] = "audio"
    task_type: TaskType | None = None
    language: Annotated[str, AfterValidator(language_name)] = Field(
        default="auto",
        max_length=MAX_LANGUAGE_CHARS,
        description="As listed by `/v1/models`, or a code such as `en` or `zh-CN`.",
    )
    normalise: Normalise = Field(
        default=Normalise.OFF,
        description="`numbers`: they are written out as words before they are spoken.",
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
    temperature: _Number[Temperature | None] = None
    top_k: _Number[TopK | None] = None
    top_p: _Number[TopP | None] = None
    repetition_penalty: _Number[RepetitionPenalty | None] = None
    max_new_tokens: _Number[NewTokens | None] = None
    seed: Annotated[
        _Number[int | None], AfterValidator(lambda seed: None if seed == NO_SEED else seed)
    ] = Field(
        default=None, ge=NO_SEED, lt=2**32, description="Makes sampling repeatable; -1: none."
    )
    _ignored_fields: tuple[str, ...] = PrivateAttr(default=())

    @property
    def ignored_fields(self) -> tuple[str, ...]:
        """The fields of the body that are not known here, but for those that are null."""
        return self._ignored_fields

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Add texts to the types of numbers, and `null` to those of fields that have a default."""
        described = handler.resolve_ref_schema(handler(core_schema))
        for name, field in described["properties"].items():
            if name in NUMBER_FIELDS:
                kept = {key: field.pop(key) for key in ANNOTATION_KEYS if key in field}
                types = field.get("anyOf", [dict(field)])
                field.clear()
                field |= {"anyOf": [*types, NUMBER_TEXT_SCHEMA], **kept}
            if field.get("default") is not None:
                kept = {key: field.pop(key) for key in ANNOTATION_KEYS if key in field}
                described["properties"][name] = {"anyOf": [field, {"type": "null"}], **kept}
        return described

    @model_validator(mode="wrap")
    @classmethod
    def _lenient(cls, sent: Any, validate: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(sent, dict):
            return validate(sent)
        sent = {name: value for name, value in sent.items() if value is not None}
        other = sent.pop("instruct", "")
        if other != "" and sent.get("instructions", "") not in ("", other):
            raise InvalidRequest(
                "instruct is another name of instructions: send one of them", param="instruct"
            )
        if other != "":
            sent["instructions"] = other
        request = validate(sent)
        request._ignored_fields = tuple(name for name in sent if name not in cls.model_fields)
        return request


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
