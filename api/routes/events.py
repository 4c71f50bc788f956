"""A job's progress as it happens, as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from api.answers import MISSING
from api.bounds import limited_by
from api.deps import Services, Use
from api.job_schemas import JobObject
from api.lookup import Found
from shared.errors import JobNotFound, Unavailable
from shared.jobs import TERMINAL, Job

POLL_S = 0.5
router = APIRouter(prefix="/v1/jobs", tags=["jobs"])


@router.get("/{job_id}/events", response_class=EventSourceResponse, responses=MISSING)
async def events(
    job: Found,
    services: Use,
    last_event_id: Annotated[
        str | None,
        Header(
            description="The last event that you had.",
            json_schema_extra=limited_by("MAX_HEAD_BYTES"),
        ),
    ] = None,
) -> AsyncIterator[ServerSentEvent]:
    """Send the job now and each time it has got on, until it ends.

    An event is named after the job's status and has the whole job in it, so that whoever comes back
    with `Last-Event-ID` misses nothing: it begins with what has changed since.
    """
    seen = last_event_id
    async for state in _states(job, services):
        mark = f"{state.completed}-{state.status}"
        if mark != seen:
            body = JobObject.of(state, services.settings.result_ttl_s)
            yield ServerSentEvent(id=mark, event=state.status, data=body)
        seen = mark


async def _states(job: Job, services: Services) -> AsyncIterator[Job]:
    """The job again and again, until it has ended or expired."""
    yield job
    while job.status not in TERMINAL:
        await asyncio.sleep(POLL_S)
        try:
            job = await run_in_threadpool(services.ledger.job, job.id)
        except Unavailable:
            continue  # the listener waits as long as it likes
        except JobNotFound:
            return
        yield job
