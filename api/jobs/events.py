"""A job's progress as it happens, as server-sent events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header
from fastapi.sse import EventSourceResponse, ServerSentEvent

from api.auth.scopes import READ_LISTENER
from api.http.bounds import limited_by
from api.http.openapi import MISSING
from api.jobs.feeds import JobFeeds
from api.jobs.lookup import ReadableJob
from api.jobs.responses import JobObject
from api.services import ServicesDep
from shared.jobs import TERMINAL, Job

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])


@router.get(
    "/{job_id}/events",
    response_class=EventSourceResponse,
    responses=MISSING,
    dependencies=[READ_LISTENER],
)
async def events(
    job: ReadableJob,
    services: ServicesDep,
    last_event_id: Annotated[
        str | None,
        Header(
            description="The last event that you had.",
            json_schema_extra=limited_by("MAX_HEAD_BYTES"),
        ),
    ] = None,
) -> AsyncIterator[ServerSentEvent]:
    """Send the job now and each time it has got on, until it ends.

    An event is named after the job's status and has the whole job in it, so that a client that
    comes back with `Last-Event-ID` misses nothing: it begins with what has changed since.
    """
    seen = last_event_id
    async for state in _states(job, services.feeds):
        if state.mark != seen:
            body = JobObject.of(state, services.settings.result_ttl_s)
            yield ServerSentEvent(id=state.mark, event=state.status, data=body)
        seen = state.mark


async def _states(job: Job, feeds: JobFeeds) -> AsyncIterator[Job]:
    """The job each time that its mark has changed, until it has ended or expired."""
    yield job
    with feeds.following(job) as feed:
        while job.status not in TERMINAL:
            newer = await feed.after(job)
            if newer is None:
                return
            job = newer
            yield job
