"""What the API reads and writes."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from shared.formats import Format
from shared.jobs import SAMPLE_RATE, Job, Sampling, Status

Instructions = Annotated[str, StringConstraints(min_length=1, max_length=2_000)]
Title = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Metadata = Annotated[
    dict[
        Annotated[str, StringConstraints(max_length=64)],
        Annotated[str, StringConstraints(max_length=512)],
    ],
    Field(max_length=16),
]


class InputFormat(StrEnum):
    """How `input` is written; files say so themselves."""

    TEXT = "text"
    MARKDOWN = "markdown"

    @property
    def media_type(self) -> str:
        """The format's name in the wide world."""
        return {self.TEXT: "text/plain", self.MARKDOWN: "text/markdown"}[self]


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    input: Annotated[str, Field(description="The text to speak.", min_length=1)]
    model: str | None = Field(
        default=None, description="A served model, long or short name; by default one for the task."
    )
    language: str = Field(default="auto", description="As listed by `/v1/models`, or `auto`.")
    input_format: InputFormat = InputFormat.TEXT
    title: Title | None = Field(
        default=None, description="By default what the text says of itself."
    )
    author: Title | None = None
    response_format: Format = Format.WAV
    chapter_files: bool = Field(
        default=False, description="Whether each chapter is there as a file of its own, too."
    )
    seed: int | None = Field(default=None, ge=0, lt=2**32, description="Makes sampling repeatable.")
    sampling: Sampling = Sampling()
    metadata: Metadata = {}


class CustomVoice(_Request):
    """Speak with one of the model's own voices."""

    task: Literal["custom_voice"]
    voice: str
    instructions: Instructions | None = None


class VoiceDesign(_Request):
    """Speak with a voice made to a description."""

    task: Literal["voice_design"]
    instructions: Instructions


class Reference(BaseModel):
    """A recording of the voice to clone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    audio: str = Field(description="The file (wav, flac, ogg or mp3) in base64, or a data: URL.")
    text: Instructions | None = Field(
        default=None,
        description="What is said in it; without it only the speaker's timbre is used.",
    )


class VoiceClone(_Request):
    """Speak with the voice of a recording."""

    task: Literal["voice_clone"]
    reference: Reference


KINDS = (CustomVoice, VoiceDesign, VoiceClone)
JobRequest = Annotated[CustomVoice | VoiceDesign | VoiceClone, Field(discriminator="task")]


class ErrorObject(BaseModel):
    """What went wrong; `param` names the field, `code` is stable."""

    message: str
    type: str
    param: str | None
    code: str


class ErrorBody(BaseModel):
    """The body of every answer that is not a success."""

    error: ErrorObject


class JobError(BaseModel):
    """Why a job failed."""

    code: str
    message: str


class SegmentCounts(BaseModel):
    """How many segments a job has; `truncated` ones reached their longest length."""

    total: int
    completed: int
    failed: int
    truncated: int


class Audio(BaseModel):
    """The finished audio."""

    seconds: float
    sample_rate: int
    bytes: int
    format: Format


class Synthesis(BaseModel):
    """How the work goes: seconds since it began, seconds of audio so far, `rtf` is one ÷ the other.

    `batch_sizes` counts segments by how many were spoken at once.
    """

    seconds: float | None
    audio_seconds: float
    rtf: float | None
    batch_sizes: dict[int, int]


class ChapterObject(BaseModel):
    """A chapter: its title, and its first segment, from 0."""

    title: str
    segment: int


class Links(BaseModel):
    """Where to go from here."""

    self: str
    content: str
    events: str
    timings: str
    subtitles: str


class JobObject(BaseModel):
    """A job as clients see it; times in Unix seconds."""

    id: str
    object: Literal["job"] = "job"
    status: Status
    progress: int = Field(ge=0, le=100)
    eta_s: float | None = Field(description="Seconds to the end at the pace so far, once known.")
    created_at: int
    completed_at: int | None
    expires_at: int | None = None
    error: JobError | None
    task: str
    model: str
    voice: str | None
    language: str
    title: str | None
    chapters: list[ChapterObject]
    segments: SegmentCounts
    audio: Audio | None
    synthesis: Synthesis
    metadata: dict[str, str]
    links: Links

    @classmethod
    def of(cls, job: Job, ttl_s: float) -> JobObject:
        """The public view of a ledger job, whose results are kept for `ttl_s` seconds."""
        done = job.status == Status.COMPLETED
        return cls(
            id=job.id,
            status=job.status,
            # The join is still to come when all segments are there.
            progress=100 if done else min(99, 100 * job.completed // job.total),
            eta_s=None if job.eta_s is None else round(job.eta_s, 1),
            created_at=int(job.created_at),
            completed_at=int(job.completed_at) if job.completed_at else None,
            expires_at=int(job.completed_at + ttl_s) if job.completed_at else None,
            error=JobError(code=job.error_code or "", message=job.error_message or "")
            if job.status == Status.FAILED
            else None,
            task=job.spec.task,
            model=job.spec.model,
            voice=job.spec.voice,
            language=job.spec.language,
            title=job.outline.title,
            chapters=[ChapterObject(**each._asdict()) for each in job.outline.chapters],
            segments=SegmentCounts(
                total=job.total,
                completed=job.completed,
                failed=job.failed,
                truncated=job.truncated,
            ),
            audio=_audio(job) if done else None,
            synthesis=_synthesis(job),
            metadata=job.spec.metadata,
            links=_links(f"/v1/jobs/{job.id}"),
        )


def _links(url: str) -> Links:
    parts = {name: f"{url}/{name}" for name in Links.model_fields if name != "self"}
    return Links(self=url, **parts)


def _audio(job: Job) -> Audio:
    return Audio(
        seconds=round(job.audio_s, 3),
        sample_rate=SAMPLE_RATE,
        bytes=job.result_bytes or 0,
        format=job.spec.response_format,
    )


def _synthesis(job: Job) -> Synthesis:
    wall_s = (job.completed_at or job.seen_at) - job.started_at if job.started_at else None
    rtf = wall_s / job.audio_s if wall_s is not None and job.audio_s else None
    return Synthesis(
        seconds=None if wall_s is None else round(wall_s, 3),
        audio_seconds=round(job.audio_s, 3),
        rtf=None if rtf is None else round(rtf, 3),
        batch_sizes=job.batch_sizes,
    )


class ModelObject(BaseModel):
    """A model that workers serve; `workers` counts those alive now."""

    id: str
    object: Literal["model"] = "model"
    owned_by: str = "qwen-tts-queue"
    task: str
    size: str
    voices: tuple[str, ...]
    languages: tuple[str, ...]
    instructions: bool
    workers: int


class ModelList(BaseModel):
    """Every served model."""

    object: Literal["list"] = "list"
    data: list[ModelObject]


class Voice(BaseModel):
    """A voice of a served model."""

    id: str
    name: str
    model: str


class VoiceList(BaseModel):
    """The same voices under both names that clients look for."""

    object: Literal["list"] = "list"
    voices: list[Voice]
    data: list[Voice]


class Health(BaseModel):
    """That a process is up, or what it lacks."""

    status: Literal["ok"] = "ok"
