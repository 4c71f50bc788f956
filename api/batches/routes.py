"""Many jobs at once: JSONL in, JSONL out, in the shape of OpenAI's Batch API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from api.auth import From, Reader, Sender, Speaker
from api.batches import submit as batching
from api.batches.responses import BatchObject
from api.http.access_log import log_action, note
from api.http.answers import COMMON, REFUSALS, error
from api.http.bodies import kind_of
from api.http.headers import IDEMPOTENCY_KEY, described
from api.jobs.responses import JobObject
from api.services import Services, Use
from shared.errors import BatchNotFound, JobNotFound, UnsupportedMedia
from shared.jobs import TERMINAL, Status
from shared.store.batches import Batch, BatchLine

router = APIRouter(prefix="/v1/batches", tags=["batches"])
BatchId = Annotated[str, Path(max_length=128, description="The batch's `id`.")]
JSONL = ("application/jsonl", "application/x-ndjson", "application/x-jsonlines", "text/plain")
MISSING = COMMON | error(404, "No such batch")
EXAMPLE = {
    "custom_id": "1",
    "method": "POST",
    "url": "/v1/jobs",
    "body": {"task": "custom_voice", "voice": "vivian", "input": "The lamp was lit."},
}


async def jsonl(request: Request) -> bytes:
    """The body, which has to say that it is JSONL."""
    if kind_of(request) not in JSONL:
        raise UnsupportedMedia("send the lines as application/jsonl", param="Content-Type")
    return await request.body()


@router.post(
    "",
    status_code=202,
    responses=REFUSALS,
    openapi_extra={
        "requestBody": {"content": {JSONL[0]: {"example": json.dumps(EXAMPLE)}}},
        **described(IDEMPOTENCY_KEY),
    },
)
async def submit(
    sender: From,
    content: Annotated[bytes, Depends(jsonl)],
    request: Request,
    response: Response,
    services: Use,
) -> BatchObject:
    """Accept a job for each line, or none; poll the batch at `Location`."""
    checking = partial(batching.check, content, services, sender)
    checked = await services.splitter.run(request, len(content), checking)
    has_files = any(job.has_files for job in checked.values())
    run = services.storage_threads.run if has_files else run_in_threadpool
    batch_id = await run(batching.admit, content, checked, services, sender)
    note(batch=batch_id)
    accepted = await run_in_threadpool(_told, batch_id, services)
    response.headers["Location"] = accepted.links.self
    return accepted


def _find(batch_id: str, services: Services, sender: Sender) -> Batch:
    batch = services.batches.batch(batch_id)
    if not sender.sees(batch.owner):
        raise BatchNotFound(f"no batch {batch_id!r}", param="batch_id")
    note(batch=batch.id)
    return batch


def _to_read(sender: Reader, batch_id: BatchId, services: Use) -> Batch:
    return _find(batch_id, services, sender)


def _to_change(sender: Speaker, batch_id: BatchId, services: Use) -> Batch:
    return _find(batch_id, services, sender)


Found = Annotated[Batch, Depends(_to_read)]
Own = Annotated[Batch, Depends(_to_change)]


def _told(batch_id: str, services: Services) -> BatchObject:
    return BatchObject.of(services.batches.batch(batch_id), services.settings.result_ttl_s)


@router.get("/{batch_id}", responses=MISSING)
def retrieve(batch: Found, services: Use) -> BatchObject:
    """Return the batch as it stands."""
    return BatchObject.of(batch, services.settings.result_ttl_s)


@router.post("/{batch_id}/cancel", responses=MISSING)
def cancel(batch: Own, services: Use) -> BatchObject:
    """Cancel every job of the batch that has not ended."""
    services.batches.cancelling(batch.id)
    log_action("cancel", batch=batch.id)
    for line in services.batches.lines(batch.id):
        with suppress(JobNotFound):
            services.ledger.cancel(line.job_id)
    return _told(batch.id, services)


@router.get(
    "/{batch_id}/output",
    response_class=StreamingResponse,
    responses={200: {"content": {JSONL[0]: {}}}, **MISSING},
)
def output(batch: Found, services: Use) -> StreamingResponse:
    """Return a line for each job that has ended so far, in the order of the batch."""
    return StreamingResponse(_output(batch.id, services), media_type=JSONL[0])


def _output(batch_id: str, services: Services) -> Iterator[str]:
    for line in services.batches.lines(batch_id):
        if told := _result(line, services):
            yield json.dumps(told) + "\n"


def _result(line: BatchLine, services: Services) -> dict[str, Any] | None:
    """What became of a line; None while its job has not ended."""
    told: dict[str, Any] = {
        "id": f"batch_req_{line.job_id}",
        "custom_id": line.custom_id,
        "response": None,
        "error": None,
    }
    try:
        job = services.ledger.job(line.job_id)
    except JobNotFound as error:
        return told | {"error": {"code": error.code, "message": error.message}}
    if job.status not in TERMINAL:
        return None
    if job.status == Status.COMPLETED:
        body = JobObject.of(job, services.settings.result_ttl_s).model_dump(mode="json")
        answer = {"status_code": 200, "request_id": job.id, "body": body}
        return told | {"response": answer}
    failed = {"code": job.error_code or job.status, "message": job.error_message or job.status}
    return told | {"error": failed}
