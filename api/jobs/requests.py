"""The request models of a job, one for each task."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    WithJsonSchema,
)

from api.documents.reading import FrontMatter, Images, Notes, ReadingOptions
from api.documents.sections import SELECTION_PATTERN
from api.http.bounds import (
    MAX_LANGUAGE_CHARS,
    MAX_METADATA,
    MAX_MODEL_CHARS,
    MAX_VOICE_CHARS,
    limited_by,
)
from api.http.fields import lower_case
from api.text.languages import language_name
from api.text.normalise import collapse_whitespace
from api.text.numbers import Normalise
from shared.formats import READABLE_FORMATS, Format
from shared.jobs import Priority, Sampling
from shared.store.webhooks import EventType


def _one_line(text: str) -> str:
    """A text as one line without control characters, which tags of files do not hold."""
    if line := collapse_whitespace(text):
        return line
    raise ValueError("a text that can be shown is wanted")


Instructions = Annotated[str, StringConstraints(min_length=1, max_length=2_000)]
Title = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
    AfterValidator(_one_line),
]
Metadata = Annotated[
    dict[
        Annotated[str, StringConstraints(max_length=64)],
        Annotated[str, StringConstraints(max_length=512)],
    ],
    Field(max_length=MAX_METADATA),
]


def _checked_selection(chapters: str) -> str:
    if not re.search(SELECTION_PATTERN, chapters):
        raise ValueError("write the numbers of sections, such as 3-7,9")
    return chapters


class InputFormat(StrEnum):
    """The format of `input`; a file has its own media type."""

    TEXT = "text"
    MARKDOWN = "markdown"

    @property
    def media_type(self) -> str:
        """The format's media type."""
        return {self.TEXT: "text/plain", self.MARKDOWN: "text/markdown"}[self]


class ReadingFields(BaseModel):
    """The fields that choose what is read of a text or a file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    notes: Notes = Field(
        default=Notes.SKIP,
        description="Whether footnotes and endnotes are left out, or spoken where they stand.",
    )
    images: Images = Field(
        default=Images.SKIP, description="Whether descriptions of pictures (`alt`) are spoken."
    )
    front_matter: FrontMatter = Field(
        default=FrontMatter.SKIP,
        description="Whether the title page, copyright, index and the like of a book are spoken.",
    )
    chapters: (
        Annotated[
            str,
            StringConstraints(max_length=200),
            AfterValidator(_checked_selection),
            WithJsonSchema({"type": "string", "pattern": SELECTION_PATTERN, "maxLength": 200}),
        ]
        | None
    ) = Field(
        default=None,
        description="The numbers of the sections that are spoken, as `POST /v1/documents` lists"
        " them: `3-7,9`. By default all but front and back matter.",
    )

    @property
    def reading_options(self) -> ReadingOptions:
        """The options of the reading."""
        return ReadingOptions(self.notes, self.images, self.front_matter, self.chapters)


Input = Annotated[
    str,
    Field(
        description="The text to speak.",
        min_length=1,
        json_schema_extra=limited_by("TTS_MAX_INPUT_CHARS"),
    ),
]


class _Request(ReadingFields):
    input: Input
    model: str | None = Field(
        default=None,
        max_length=MAX_MODEL_CHARS,
        description="A served model, long or short name; by default one for the task.",
    )
    language: Annotated[str, AfterValidator(language_name)] = Field(
        default="auto",
        max_length=MAX_LANGUAGE_CHARS,
        description="As listed by `/v1/models`, a code such as `en` or `zh-CN`, or `auto`.",
    )
    input_format: InputFormat = InputFormat.TEXT
    normalise: Normalise = Field(
        default=Normalise.OFF,
        description="`numbers`: they are written out as words before they are spoken.",
    )
    title: Title | None = Field(
        default=None, description="By default what the text says of itself."
    )
    author: Title | None = None
    cover: str | None = Field(
        default=None,
        description="A JPEG or PNG in base64, or a data: URL; by default the book's own.",
        json_schema_extra=limited_by("TTS_MAX_BODY_BYTES"),
    )
    response_format: Annotated[Format, BeforeValidator(lower_case)] = Format.WAV
    chapter_files: bool = Field(
        default=False, description="Whether each chapter is there as a file of its own, too."
    )
    priority: Priority = Field(
        default=Priority.NORMAL, description="How large a share of your own turns the job has."
    )
    seed: int | None = Field(default=None, ge=0, lt=2**32, description="Makes sampling repeatable.")
    sampling: Sampling = Sampling()
    metadata: Metadata = {}
    webhook: str | None = Field(
        default=None,
        max_length=2_000,
        description="An http(s) URL that is told how the job gets on, signed as Standard Webhooks.",
    )
    webhook_events_filter: list[EventType] | None = Field(
        default=None,
        min_length=1,
        max_length=len(EventType),
        description="What it is told; by default only the job's end.",
    )


def _example(**fields: JsonValue) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [fields]})


class CustomVoice(_Request):
    """Speak with one of the model's own voices."""

    model_config = _example(task="custom_voice", voice="vivian", input="The lamp was lit.")

    task: Literal["custom_voice"]
    voice: str = Field(max_length=MAX_VOICE_CHARS)
    instructions: Instructions | None = None


class VoiceDesign(_Request):
    """Speak with a voice made to a description."""

    model_config = _example(
        task="voice_design",
        instructions="An old sailor, hoarse and cheerful",
        input="Good evening.",
    )

    task: Literal["voice_design"]
    instructions: Instructions


class Reference(BaseModel):
    """A recording of the voice to clone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    audio: str = Field(
        description=f"The file ({READABLE_FORMATS}) in base64, or a data: URL.",
        json_schema_extra=limited_by("TTS_MAX_BODY_BYTES"),
    )
    text: Instructions | None = Field(
        default=None,
        description="What is said in it; without it only the speaker's timbre is used.",
    )

    @property
    def is_url(self) -> bool:
        """True if `audio` is an http(s) URL."""
        return self.audio[:8].lower().startswith(("http://", "https://"))


class VoiceClone(_Request):
    """Speak with the voice of a recording: `reference`, or a saved `voice`."""

    model_config = _example(
        task="voice_clone",
        reference={"audio": "data:audio/wav;base64,UklGR…", "text": "What is said in it."},
        input="Good evening.",
    )

    task: Literal["voice_clone"]
    reference: Reference | None = None
    voice: str | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_VOICE_CHARS,
        description="The id or name of a voice that you have uploaded, instead of `reference`.",
    )


REQUEST_CLASSES = (CustomVoice, VoiceDesign, VoiceClone)
JobRequest = Annotated[CustomVoice | VoiceDesign | VoiceClone, Field(discriminator="task")]
