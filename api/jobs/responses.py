"""The response models of a job."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from shared.formats import Format
from shared.jobs import TERMINAL, Job, Priority, Status
from shared.speech_model import SAMPLE_RATE

# A poll of a book does not repeat all of its contents.
MAX_LISTED_CHAPTERS = 100


class JobError(BaseModel):
    """Why a job failed."""

    code: str
    message: str


class SegmentCounts(BaseModel):
    """Numbers of a job's segments; `truncated` ones reached the maximum length."""

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
    """Progress: seconds since the start, seconds of audio, and `rtf`, the first ÷ the second.

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


class WarningObject(BaseModel):
    """Something of the text that was left out, guessed or mended; `where` is its place in it."""

    code: str
    message: str
    where: str | None


class Links(BaseModel):
    """The URLs of a job's parts."""

    self: str
    content: str
    events: str
    history: str
    timings: str
    subtitles: str


class JobObject(BaseModel):
    """A job as clients see it; times in Unix seconds."""

    id: str
    object: Literal["job"] = "job"
    status: Status
    progress: int = Field(ge=0, le=100)
    queue_position: int | None = Field(
        description="Its place among those of this model that wait to begin, once it is polled."
    )
    eta_s: float | None = Field(description="Seconds to the end at the pace so far, once known.")
    waiting_for_model: str | None = Field(
        description="The job's model while no worker serves it, else null: nothing of the job is"
        " spoken until one starts, such as `python -m worker --model ID`. A worker that serves"
        " several models counts for all of them, loaded or not."
    )
    paused: bool = Field(
        description="True while an operator has paused the model of the job: it waits."
    )
    created_at: int
    completed_at: int | None
    expires_at: int | None = None
    cancel_at: int | None = Field(description="From `Cancel-After`.")
    error: JobError | None
    priority: Priority
    task: str
    model: str
    voice: str | None
    voice_id: str | None = Field(description="Of a voice that was uploaded.")
    language: str
    seed: int | None = Field(
        description="Of the sampling: as it was sent, or drawn so that a designed voice is one."
    )
    title: str | None
    chapters: list[ChapterObject] = Field(
        description=f"The first {MAX_LISTED_CHAPTERS}; the timings of a completed job have all."
    )
    chapter_count: int
    warnings: list[WarningObject] = Field(
        description="What was left out of the text, guessed or mended as it was read, or cut short."
    )
    segments: SegmentCounts
    audio: Audio | None
    synthesis: Synthesis
    metadata: dict[str, str]
    webhook: str | None
    links: Links

    @classmethod
    def of(cls, job: Job, ttl_s: float, root_path: str) -> JobObject:
        """The public view of a ledger job, whose results are kept for `ttl_s` seconds.

        Its links begin with `root_path`.
        """
        done, reference = job.status == Status.COMPLETED, job.spec.reference
        url = f"{root_path}/v1/jobs/{public_id(job)}"
        parts = {name: f"{url}/{name}" for name in Links.model_fields if name != "self"}
        return cls(
            id=public_id(job),
            status=job.status,
            # The join is still to come when all segments are there.
            progress=100 if done else min(99, 100 * job.completed // job.total),
            queue_position=job.queue_position if job.status == Status.QUEUED else None,
            eta_s=None if job.eta_s is None else round(job.eta_s, 1),
            waiting_for_model=job.waiting_for_model,
            paused=job.paused,
            created_at=int(job.created_at),
            completed_at=int(job.completed_at) if job.completed_at else None,
            cancel_at=int(job.cancel_at) if job.cancel_at else None,
            expires_at=int(job.completed_at + ttl_s) if job.completed_at else None,
            error=JobError(code=job.error_code, message=job.error_message or "")
            if job.error_code
            else None,
            priority=job.priority,
            task=job.spec.task,
            model=job.spec.model,
            voice=reference.voice_name if reference else job.spec.voice,
            voice_id=reference.voice if reference else None,
            language=job.spec.language,
            seed=job.spec.seed,
            title=job.outline.title,
            chapters=[
                ChapterObject(**each._asdict())
                for each in job.outline.chapters[:MAX_LISTED_CHAPTERS]
            ],
            chapter_count=len(job.outline.chapters),
            warnings=_warnings(job),
            segments=SegmentCounts(
                total=job.total,
                completed=job.completed,
                failed=job.failed,
                truncated=job.truncated,
            ),
            audio=_audio(job) if done else None,
            synthesis=_synthesis(job),
            metadata=job.spec.metadata,
            webhook=job.webhook,
            links=Links(self=url, **parts),
        )


def public_id(job: Job) -> str:
    """The id by which the client knows a job."""
    return job.name or job.id


def poll_after_ms(job: Job) -> int:
    """Milliseconds to the next poll: a tenth of the time left, from 0.2 to 5 s."""
    if job.status in TERMINAL:
        return 0
    return int(1_000 * min(5.0, max(0.2, (job.eta_s if job.eta_s is not None else 10) / 10)))


class JobPageObject(BaseModel):
    """Some of your jobs; the next page is `after=last_id`, if `has_more`.

    With a filter, a page may have fewer jobs than `limit`, or none, and still there are more.
    """

    object: Literal["list"] = "list"
    data: list[JobObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


class JobDeleted(BaseModel):
    """That nothing is left of a job."""

    id: str
    object: Literal["job.deleted"] = "job.deleted"
    deleted: Literal[True] = True


def _warnings(job: Job) -> list[WarningObject]:
    """The warnings of the text, and of segments that reached the longest time of their text."""
    found = [WarningObject(**each._asdict()) for each in job.outline.warnings]
    if job.truncated:
        what = "1 segment was" if job.truncated == 1 else f"{job.truncated:,} segments were"
        message = (
            f"{what} cut at the longest time that the text can take; "
            "the timings say which: `truncated`"
        )
        found.append(WarningObject(code="truncated", message=message, where=None))
    return found


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
