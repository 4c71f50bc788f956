"""A job's progress as it happens, as server-sent events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.exceptions import HTTPException

from api.auth.scopes import READ_LISTENER
from api.http.bounds import limited_by
from api.http.openapi import MISSING, Answers
from api.http.proxy import root_path_of
from api.jobs.feeds import JobFeeds
from api.jobs.lookup import ReadableJob
from api.jobs.responses import JobObject
from api.services import ServicesDep
from shared.jobs import TERMINAL, Job

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])


EVENTS_RESPONSES: Answers = MISSING | {
    204: {"description": "The job has ended, and `Last-Event-ID` is its last event"}
}
LastEventId = Annotated[
    str | None,
    Header(
        description="The last event that you had.", json_schema_extra=limited_by("MAX_HEAD_BYTES")
    ),
]
EventNames = Annotated[
    Literal["status", "message"],
    Query(
        alias="events",
        description="`message`: events without names, for `onmessage`, with a `type` in the data.",
    ),
]


async def _unfinished(job: ReadableJob, last_event_id: LastEventId = None) -> Job:
    """The job, unless the client has had its last event.

    A browser's EventSource connects again when a stream ends; after 204 it does not.
    """
    if job.status in TERMINAL and job.mark == last_event_id:
        raise HTTPException(HTTPStatus.NO_CONTENT, headers={"Content-Type": "text/event-stream"})
    return job


@router.get(
    "/{job_id}/events",
    operation_id="stream_job_events",
    response_class=EventSourceResponse,
    responses=EVENTS_RESPONSES,
    dependencies=[READ_LISTENER],
)
async def events(
    job: Annotated[Job, Depends(_unfinished)],
    services: ServicesDep,
    request: Request,
    last_event_id: LastEventId = None,
    names: EventNames = "status",
) -> AsyncIterator[ServerSentEvent]:
    """Send the job now and each time it has got on, until it ends.

    An event is named after the job's status and has the whole job in it, so that a client that
    comes back with `Last-Event-ID` misses nothing: it begins with what has changed since. A client
    that has had the last event of a job gets 204.
    """
    seen = last_event_id
    async for state in _states(job, services.feeds):
        if state.mark != seen:
            body = JobObject.of(state, services.settings.result_ttl_s, root_path_of(request))
            if names == "status":
                yield ServerSentEvent(id=state.mark, event=state.status, data=body)
            else:
                data = {"type": f"job.{state.status}", **body.model_dump(mode="json")}
                yield ServerSentEvent(id=state.mark, data=data)
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
