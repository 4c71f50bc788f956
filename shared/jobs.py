"""A job, its segments, their statuses and the legal changes between them."""

from __future__ import annotations

import secrets
import time
from enum import StrEnum
from typing import Annotated, NamedTuple

from pydantic import ConfigDict, Field

from shared.document import DocumentWarning
from shared.formats import Format
from shared.records import Record
from shared.speech_model import SAMPLE_RATE, SamplingOverrides, Task

# Raised when a job's record changes so that older workers could not run it; they skip such jobs.
JOB_VERSION = 2
# The owner of jobs that are submitted without a key.
PUBLIC = "public"


class Status(StrEnum):
    """The status of a job or of a segment."""

    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


TERMINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED})
# The status of a job whose segments are not all in the ledger yet: clients and workers skip it.
ADMITTING = "admitting"

# The one table of legal changes, for jobs and segments alike; the Lua scripts get it from here.
# in_progress → queued: a worker handed a segment back, or its lease ran out. An operator's retry of
# a failed job is not in it (`retry.lua`): for everything else, a failed job has ended.
TRANSITIONS: dict[str, frozenset[Status]] = {
    ADMITTING: frozenset({Status.QUEUED}),
    Status.QUEUED: frozenset({Status.IN_PROGRESS, Status.FAILED, Status.CANCELLED}),
    Status.IN_PROGRESS: TERMINAL | {Status.QUEUED},
    Status.COMPLETED: frozenset(),
    Status.FAILED: frozenset(),
    Status.CANCELLED: frozenset(),
}


class Priority(StrEnum):
    """A job's share of its owner's turns in the queue."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"


# The cost of a frame in turns: a high job gets four times as many frames as a normal one.
WEIGHTS = {Priority.LOW: 4.0, Priority.NORMAL: 1.0, Priority.HIGH: 0.25}


TopK = Annotated[int, Field(ge=1, le=3072)]
# Below these bounds the sums in float32 overflow or vanish, and sampling fails.
TopP = Annotated[float, Field(ge=1e-4, le=1)]
Temperature = Annotated[float, Field(ge=0.01, le=10)]
RepetitionPenalty = Annotated[float, Field(ge=0.1, le=10)]
NewTokens = Annotated[int, Field(ge=3, le=8192)]


class Sampling(Record):
    """Sampling parameters, under the names of qwen-tts's own generate arguments.

    Absent fields take the values of the model's `generation_config.json`. Clients send this record
    too, so an unknown field is an error.
    """

    model_config = ConfigDict(extra="forbid")

    do_sample: bool | None = None
    top_k: TopK | None = None
    top_p: TopP | None = None
    temperature: Temperature | None = None
    repetition_penalty: RepetitionPenalty | None = None
    subtalker_dosample: bool | None = None
    subtalker_top_k: TopK | None = None
    subtalker_top_p: TopP | None = None
    subtalker_temperature: Temperature | None = None
    max_new_tokens: NewTokens | None = None

    def overrides(self, seed: int | None) -> SamplingOverrides:
        """The parameters as the engine takes them; `max_new_tokens` is not one of them."""
        values = {name: value for name, value in self if name != "max_new_tokens"}
        return SamplingOverrides(**values, seed=seed)


class StoredReference(Record):
    """A clone reference: the storage key of an audio file, its hash, and the words spoken in it.

    A reference from a saved voice has that voice's id and name.
    """

    key: str
    digest: str
    text: str | None = None
    voice: str | None = None
    voice_name: str | None = None


class SpeechSpec(Record):
    """The synthesis parameters that all segments of a job share: everything but the text."""

    task: Task
    model: str
    language: str = "auto"
    voice: str | None = None
    instructions: str | None = None
    reference: StoredReference | None = None
    seed: int | None = None
    sampling: Sampling = Sampling()
    response_format: Format = Format.WAV
    chapter_files: bool = False
    metadata: dict[str, str] = Field(default_factory=dict)
    live: bool = False  # a client listens while it is synthesised


class ChapterStart(NamedTuple):
    """A chapter's title and the number of its first segment."""

    title: str
    segment: int


class Outline(Record):
    """The metadata of a job's text, the first segments of its chapters, and its warnings.

    `language` is the name of the text's language, `cover` the storage key of a JPEG or PNG.
    """

    title: str | None = None
    author: str | None = None
    date: str | None = None
    description: str | None = None
    language: str | None = None
    cover: str | None = None
    chapters: tuple[ChapterStart, ...] = ()
    warnings: tuple[DocumentWarning, ...] = ()


NO_OUTLINE = Outline()


class Origin(Record):
    """The request that a job came from: its id, and its span as `traceparent` (W3C) if traced."""

    request: str | None = None
    traceparent: str | None = None


NO_ORIGIN = Origin()


class Claim(Record):
    """A worker's hold on one segment, or on a job's join, until its lease runs out.

    `epoch`, a time in milliseconds, is the fence: only the newest one can commit. `text` is empty
    for a join. The job is of `owner`, and was accepted at `accepted_at`, by Redis's clock.
    """

    segment_id: str
    epoch: int
    attempt: int
    text: str
    spec: SpeechSpec
    owner: str = PUBLIC
    accepted_at: float = 0.0
    origin: Origin = NO_ORIGIN

    @property
    def job_id(self) -> str:
        """The job that the segment belongs to."""
        return job_of(self.segment_id)

    @property
    def index(self) -> int:
        """The segment's number in its job, from 0."""
        return int(self.segment_id.rsplit(":", 1)[1])

    @property
    def is_join(self) -> bool:
        """True if this is the job's last step: joining the finished segments."""
        return self.segment_id.endswith(JOIN_SUFFIX)


class SegmentResult(Record):
    """A worker's result for a segment: the storage key of its WAV, and its length."""

    key: str
    samples: int
    truncated: bool = False
    batch_size: int = 1


class SpokenSegment(Record):
    """A finished segment, as the join reads it: text, characters, pause and storage key."""

    text: str
    start: int
    end: int
    pause_s: float
    key: str
    samples: int
    truncated: bool


class SegmentState(Record):
    """The state of a segment and its job, for a listener; `key` once it is committed."""

    job_status: Status
    result_key: str | None
    error_code: str | None
    error_message: str | None
    key: str | None
    pause_s: float


class Job(Record):
    """A job as the ledger holds it at `seen_at`; times in Unix seconds by Redis's clock.

    `name` is the client's own id for it, if any. A job that is not `is_understood` was written by a
    newer version: some of its fields are not here, and its files are for that version.
    `live_workers` serve its model now; None where that was not looked at. `paused` is true while an
    operator has paused its model, `retries` counts an operator's, and `failed_segment` is the id of
    the one that failed it.
    """

    id: str
    owner: str = PUBLIC
    name: str | None = None
    status: Status
    priority: Priority = Priority.NORMAL
    spec: SpeechSpec
    outline: Outline = NO_OUTLINE
    seen_at: float
    created_at: float
    started_at: float | None = None
    completed_at: float | None = None
    cancel_at: float | None = None
    total: int
    completed: int = 0
    failed: int = 0
    truncated: int = 0
    samples: int = 0
    result_key: str | None = None
    result_bytes: int | None = None
    error_code: str | None = None
    error_message: str | None = None
    batch_sizes: dict[int, int] = Field(default_factory=dict)
    webhook: str | None = None
    queue_position: int | None = None
    queue_eta_s: float | None = None
    live_workers: int | None = None
    paused: bool = False
    retries: int = 0
    failed_segment: str | None = None
    is_understood: bool = True

    @property
    def is_overdue(self) -> bool:
        """True if its deadline has passed and it has not ended."""
        has_ended = self.status in TERMINAL
        return self.cancel_at is not None and self.cancel_at <= self.seen_at and not has_ended

    @property
    def mark(self) -> str:
        """The job's progress as a word, which changes when listeners get a new state."""
        waits = self.waiting_for_model is not None
        return progress_mark(self.completed, self.status, waits=waits, paused=self.paused)

    @property
    def waiting_for_model(self) -> str | None:
        """The job's model if no worker serves it and the job has not ended, else None."""
        waits = self.live_workers == 0 and self.status not in TERMINAL
        return self.spec.model if waits else None

    @property
    def audio_s(self) -> float:
        """Seconds of audio made so far."""
        return self.samples / SAMPLE_RATE

    @property
    def eta_s(self) -> float | None:
        """Seconds to the end at the job's own pace, else at the queue's; None if neither is known.

        Example: 3 of 12 segments in 30 s leave 9, which take 90 s.
        """
        if self.status in TERMINAL:
            return None
        if self.started_at is None or not self.completed:
            return self.queue_eta_s
        return (self.seen_at - self.started_at) * (self.total - self.completed) / self.completed


def progress_mark(completed: object, status: str, *, waits: bool, paused: bool) -> str:
    """The mark of a job with `completed` segments done.

    `waits` is true if no worker serves its model, `paused` if its model is paused.
    """
    return f"{completed}-{status}" + ("-waiting" if waits else "") + ("-paused" if paused else "")


JOIN_SUFFIX = ":join"
ID_PREFIX = "job_"


def new_job_id() -> str:
    """An id that cannot be guessed; at equal turns the older job's sorts first."""
    return f"{ID_PREFIX}{time.time_ns():016x}{secrets.token_hex(10)}"


def segment_id(job_id: str, index: int) -> str:
    """The id of a job's segment number `index`, from 0."""
    return f"{job_id}:{index}"


def job_of(segment: str) -> str:
    """The job that a segment or join id belongs to."""
    return segment.rsplit(":", 1)[0]


def number_of(segment: str) -> str:
    """The number of the segment with this id in its job, or `join`."""
    return segment.rsplit(":", 1)[1]
