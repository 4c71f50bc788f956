"""The answers to operators; times in Unix seconds, to the millisecond."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from api.jobs.responses import JobError, SegmentCounts, public_id
from shared.jobs import Job, Priority, Status
from shared.store.audit import AuditEntry
from shared.store.live_workers import LiveWorker, WorkerInfo
from shared.store.segment_facts import SegmentFacts
from shared.store.usage import Usage

WorkerState = Literal["working", "idle", "draining", "drained"]


class RunningSegment(BaseModel):
    """A segment that a worker holds: `segment` is its number in its job, or `join`."""

    job: str
    segment: str
    since: float | None
    attempt: int

    @classmethod
    def of(cls, facts: SegmentFacts) -> RunningSegment:
        """The view of a segment in the ledger."""
        return cls(job=facts.job, segment=facts.number, since=facts.since, attempt=facts.attempts)


class WorkerObject(BaseModel):
    """A live worker; `info` is null of one of an older version.

    `state` is `draining` until its last segment has ended, `drained` after that.
    """

    id: str
    object: Literal["worker"] = "worker"
    state: WorkerState
    draining_since: float | None
    info: WorkerInfo | None
    running: list[RunningSegment]

    @classmethod
    def of(cls, worker: LiveWorker, running: list[SegmentFacts]) -> WorkerObject:
        """The view of a worker that holds these segments."""
        busy: WorkerState = "working" if worker.draining_since is None else "draining"
        free: WorkerState = "idle" if worker.draining_since is None else "drained"
        return cls(
            id=worker.id,
            state=busy if running else free,
            draining_since=worker.draining_since,
            info=worker.info,
            running=[RunningSegment.of(each) for each in running],
        )


class WorkerList(BaseModel):
    """Every live worker."""

    object: Literal["list"] = "list"
    data: list[WorkerObject]


class WaitingCounts(BaseModel):
    """Waiting segments by the priority of their jobs."""

    high: int
    normal: int
    low: int


class OperatedQueue(BaseModel):
    """The queue of a model: segments that wait and that are spoken.

    `oldest_s` is for how long the job that waits longest for its turn does.
    """

    id: str
    object: Literal["model.queue"] = "model.queue"
    workers: int
    waiting: int
    waiting_by_priority: WaitingCounts
    running: int
    oldest_s: float
    paused_since: float | None


class QueueList(BaseModel):
    """The queue of every known model."""

    object: Literal["list"] = "list"
    data: list[OperatedQueue]


class SegmentObject(BaseModel):
    """A segment of a job, with its text."""

    segment: str
    status: Status
    attempts: int
    worker: str | None
    since: float | None
    reason: str | None
    text: str

    @classmethod
    def of(cls, facts: SegmentFacts) -> SegmentObject:
        """The view of a segment in the ledger."""
        return cls(segment=facts.number, **facts.model_dump(exclude={"id", "job"}))


class OperatedJob(BaseModel):
    """A job of any owner, as operators see it.

    `name` is its owner's id for it. `failed_segment` is the one that failed it, with its attempts.
    """

    id: str
    object: Literal["admin.job"] = "admin.job"
    name: str
    owner: str
    status: Status
    model: str
    title: str | None
    priority: Priority
    created_at: float
    started_at: float | None
    completed_at: float | None
    segments: SegmentCounts
    retries: int
    paused: bool
    waiting_for_model: str | None
    queue_position: int | None
    eta_s: float | None
    error: JobError | None
    failed_segment: SegmentObject | None

    @classmethod
    def of(cls, job: Job, failed: SegmentFacts | None) -> OperatedJob:
        """The view of a job in the ledger."""
        return cls(
            id=job.id,
            name=public_id(job),
            owner=job.owner,
            status=job.status,
            model=job.spec.model,
            title=job.outline.title,
            priority=job.priority,
            created_at=job.created_at,
            started_at=job.started_at,
            completed_at=job.completed_at,
            segments=SegmentCounts(
                total=job.total,
                completed=job.completed,
                failed=job.failed,
                truncated=job.truncated,
            ),
            retries=job.retries,
            paused=job.paused,
            waiting_for_model=job.waiting_for_model,
            queue_position=job.queue_position if job.status == Status.QUEUED else None,
            eta_s=None if job.eta_s is None else round(job.eta_s, 1),
            error=JobError(code=job.error_code, message=job.error_message or "")
            if job.error_code
            else None,
            failed_segment=SegmentObject.of(failed) if failed else None,
        )


class OperatedJobDetails(OperatedJob):
    """A job with the segments that are spoken now, and `why` it stands where it does, in words."""

    running: list[SegmentObject]
    why: list[str]


class OperatedJobPage(BaseModel):
    """Some jobs of all owners; the next page is `after=last_id`, if `has_more`."""

    object: Literal["list"] = "list"
    data: list[OperatedJob]
    last_id: str | None
    has_more: bool


class Requeued(BaseModel):
    """The segments that were taken from their workers."""

    object: Literal["requeued"] = "requeued"
    job: str
    segments: list[str]


class PurgeObject(BaseModel):
    """The number of jobs that were cancelled; while there are some `left`, ask again."""

    object: Literal["purge"] = "purge"
    model: str
    cancelled: int
    left: int


class ChangeObject(BaseModel):
    """The state of a model or worker after a change."""

    id: str
    object: Literal["change"] = "change"
    action: str
    since: float | None = None


class OwnerObject(Usage):
    """An owner: what it has open, what it used today, its keys, and the limits of the first."""

    object: Literal["owner"] = "owner"
    keys: list[str]
    limits: dict[str, int | None]


class OwnerList(BaseModel):
    """Every owner that has a key or an open job."""

    object: Literal["list"] = "list"
    data: list[OwnerObject]


class AuditList(BaseModel):
    """Actions of operators, the newest first; the next page is `before` the last id."""

    object: Literal["list"] = "list"
    data: list[AuditEntry]


class CheckLine(BaseModel):
    """One part of the configuration: a problem stops work, a warning does not."""

    name: str
    ok: bool
    says: str
    warnings: list[str] = Field(default_factory=list)


class CheckList(BaseModel):
    """Every part; `ok` if none has a problem."""

    object: Literal["list"] = "list"
    ok: bool
    data: list[CheckLine]


class Overview(BaseModel):
    """The service at a glance; its speed is that of the last minute."""

    object: Literal["overview"] = "overview"
    at: int
    jobs_open: int
    segments_per_minute: float
    audio_seconds_per_second: float
    workers: list[WorkerObject]
    queues: list[OperatedQueue]
    failed: list[OperatedJob]
    failed_webhooks: int
