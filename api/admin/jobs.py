"""Jobs of all owners: list, look, retry, cancel, requeue, prioritise."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Path, Query
from redis import Redis

from api.admin.access import Operates, Operation
from api.admin.responses import (
    OperatedJob,
    OperatedJobDetails,
    OperatedJobPage,
    Requeued,
    SegmentObject,
)
from api.admin.state import with_failed_segments
from api.admin.why import explain
from api.http.bounds import MAX_MODEL_CHARS
from api.http.openapi import COMMON, error
from api.jobs.history import After, HistoryObject
from shared.errors import NotRunning
from shared.jobs import Job, Priority, Status
from shared.models import full_name
from shared.store.live_workers import LiveWorkers
from shared.store.repairs import Repairs
from shared.store.segment_facts import running_segments

router = APIRouter(prefix="/v1/admin/jobs", tags=["admin"])
MISSING = COMMON | error(404, "No such job")
CHANGED = MISSING | error(409, "The job is not in a state for this; the message says which")
OperatedId = Annotated[str, Path(max_length=128, description="The job's `id` in the list.")]


@router.get("", operation_id="admin_list_jobs", responses=COMMON)
def list_jobs(
    operation: Operates,
    limit: Annotated[int, Query(ge=1, le=100, description="Jobs of a page.")] = 20,
    after: Annotated[
        str | None, Query(max_length=128, description="The `last_id` of the page before.")
    ] = None,
    status: Annotated[
        list[Status] | None, Query(max_length=len(Status), description="One or more of them.")
    ] = None,
    code: Annotated[
        str | None, Query(max_length=64, description="The `code` of its error.")
    ] = None,
    model: Annotated[
        str | None, Query(max_length=MAX_MODEL_CHARS, description="Its id or short name.")
    ] = None,
    owner: Annotated[
        str | None, Query(max_length=64, description="As `narrate keys list` shows it.")
    ] = None,
) -> OperatedJobPage:
    """List jobs of all owners, the newest first; `status=failed` has those that failed, and why."""

    def keep(job: Job) -> bool:
        return code in (None, job.error_code) and (
            model is None or full_name(model) == job.spec.model
        )

    services = operation.services
    page = services.job_list.page(owner, limit=limit, keep=keep, statuses=status or (), after=after)
    return OperatedJobPage(
        data=with_failed_segments(services, page.jobs),
        last_id=page.last_id,
        has_more=page.has_more,
    )


@router.get("/{job_id}", operation_id="admin_get_job", responses=MISSING)
def look(operation: Operates, job_id: OperatedId) -> OperatedJobDetails:
    """Return a job with what is spoken of it now, and why it stands where it does."""
    services = operation.services
    job = services.ledger.job(job_id)
    running = running_segments(services.redis, job.id)
    workers = LiveWorkers(services.redis).all()
    return OperatedJobDetails(
        **_view(operation, job).model_dump(),
        running=[SegmentObject.of(each) for each in running],
        why=list(explain(job, running, workers, time.time())),
    )


@router.get("/{job_id}/history", operation_id="admin_get_job_history", responses=MISSING)
def history(operation: Operates, job_id: OperatedId, after: After = 0) -> HistoryObject:
    """Return what happened to a job of any owner, as its owner sees it."""
    ledger = operation.services.ledger
    job = ledger.job(job_id)
    return HistoryObject.of(job.id, ledger.history(job.id, after), after)


@router.post("/{job_id}/retry", operation_id="admin_retry_job", responses=CHANGED)
def retry(
    operation: Operates,
    job_id: OperatedId,
    whole: Annotated[
        bool, Query(description="All segments, not only those that are not committed.")
    ] = False,
) -> OperatedJob:
    """Speak a failed job on, with no attempt behind its segments; what is committed is kept.

    A job that was retried and has not ended stays as it is.
    """
    services = operation.services
    with operation.audited("retry whole" if whole else "retry", job_id):
        job = services.ledger.job(job_id)
        _repairs(operation).retry(job, services.storage, whole=whole)
    services.wake_ups.publish(job.spec.model, job.total if whole else job.total - job.completed)
    return _view(operation, services.ledger.job(job_id))


@router.post("/{job_id}/cancel", operation_id="admin_cancel_job", responses=MISSING)
def cancel(operation: Operates, job_id: OperatedId) -> OperatedJob:
    """Cancel a job, unless it has ended."""
    with operation.audited("cancel", job_id):
        operation.services.ledger.cancel(job_id)
    return _view(operation, operation.services.ledger.job(job_id))


@router.post("/{job_id}/requeue", operation_id="admin_requeue_job", responses=CHANGED)
def requeue(
    operation: Operates,
    job_id: OperatedId,
    segment: Annotated[
        str | None,
        Query(
            max_length=7,
            pattern="^([0-9]{1,7}|join)$",
            description="Its number, or `join`; default: all.",
        ),
    ] = None,
) -> Requeued:
    """Take the segments of a job from the workers that hold them; the attempts do not count."""
    services, repairs = operation.services, _repairs(operation)
    with operation.audited("requeue", job_id if segment is None else f"{job_id}:{segment}"):
        job = services.ledger.job(job_id)
        if segment is None:
            taken = _requeue_running(services.redis, repairs, job.id)
        else:
            repairs.requeue(f"{job.id}:{segment}")
            taken = [segment]
    services.wake_ups.publish(job.spec.model, len(taken))
    return Requeued(job=job_id, segments=taken)


def _requeue_running(redis: Redis, repairs: Repairs, job_id: str) -> list[str]:
    """Requeue every running segment of a job, but those that end meanwhile; their numbers.

    Raises `NotRunning` if that leaves none.
    """
    taken = []
    for segment in running_segments(redis, job_id):
        with suppress(NotRunning):
            repairs.requeue(segment.id)
            taken.append(segment.number)
    if not taken:
        raise NotRunning("no worker holds a segment of this job now", param="job_id")
    return taken


@router.post("/{job_id}/priority", operation_id="admin_prioritise_job", responses=CHANGED)
def prioritise(
    operation: Operates,
    job_id: OperatedId,
    priority: Annotated[Priority, Query(description="Among the jobs of its owner.")],
) -> OperatedJob:
    """Change the share that a job has of its owner's turns."""
    with operation.audited(f"priority {priority}", job_id):
        _repairs(operation).prioritise(job_id, priority)
    return _view(operation, operation.services.ledger.job(job_id))


def _repairs(operation: Operation) -> Repairs:
    services = operation.services
    return Repairs(services.redis, max_attempts=services.settings.max_attempts)


def _view(operation: Operation, job: Job) -> OperatedJob:
    return with_failed_segments(operation.services, [job])[0]
