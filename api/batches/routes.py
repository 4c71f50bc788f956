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

from api.auth import CanRead, CanSubmit, Submitter
from api.batches import submit as batching
from api.batches.responses import BatchObject
from api.caller import Caller
from api.http.access_log import add_to_log, log_action
from api.http.answers import COMMON, REFUSALS, error
from api.http.bodies import media_type_of
from api.http.headers import IDEMPOTENCY_KEY, described
from api.jobs.responses import JobObject
from api.services import Services, ServicesDep
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
    if media_type_of(request) not in JSONL:
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
    caller: Submitter,
    content: Annotated[bytes, Depends(jsonl)],
    request: Request,
    response: Response,
    services: ServicesDep,
) -> BatchObject:
    """Accept a job for each line, or none; poll the batch at `Location`."""
    checking = partial(batching.check, content, services, caller)
    checked = await services.splitter.run(request, len(content), checking)
    has_files = any(job.has_files for job in checked.values())
    run = services.storage_threads.run if has_files else run_in_threadpool
    batch_id = await run(batching.admit, content, checked, services, caller)
    add_to_log(batch=batch_id)
    accepted = await run_in_threadpool(_batch_object, batch_id, services)
    response.headers["Location"] = accepted.links.self
    return accepted


def _find(batch_id: str, services: Services, caller: Caller) -> Batch:
    batch = services.batches.batch(batch_id)
    if not caller.sees(batch.owner):
        raise BatchNotFound(f"no batch {batch_id!r}", param="batch_id")
    add_to_log(batch=batch.id)
    return batch


def _to_read(caller: CanRead, batch_id: BatchId, services: ServicesDep) -> Batch:
    return _find(batch_id, services, caller)


def _to_change(caller: CanSubmit, batch_id: BatchId, services: ServicesDep) -> Batch:
    return _find(batch_id, services, caller)


ReadableBatch = Annotated[Batch, Depends(_to_read)]
ChangeableBatch = Annotated[Batch, Depends(_to_change)]


def _batch_object(batch_id: str, services: Services) -> BatchObject:
    return BatchObject.of(services.batches.batch(batch_id), services.settings.result_ttl_s)


@router.get("/{batch_id}", responses=MISSING)
def retrieve(batch: ReadableBatch, services: ServicesDep) -> BatchObject:
    """Return the batch as it stands."""
    return BatchObject.of(batch, services.settings.result_ttl_s)


@router.post("/{batch_id}/cancel", responses=MISSING)
def cancel(batch: ChangeableBatch, services: ServicesDep) -> BatchObject:
    """Cancel every job of the batch that has not ended."""
    services.batches.cancelling(batch.id)
    log_action("cancel", batch=batch.id)
    for line in services.batches.lines(batch.id):
        with suppress(JobNotFound):
            services.ledger.cancel(line.job_id)
    return _batch_object(batch.id, services)


@router.get(
    "/{batch_id}/output",
    response_class=StreamingResponse,
    responses={200: {"content": {JSONL[0]: {}}}, **MISSING},
)
def output(batch: ReadableBatch, services: ServicesDep) -> StreamingResponse:
    """Return a line for each job that has ended so far, in the order of the batch."""
    return StreamingResponse(_output(batch.id, services), media_type=JSONL[0])


def _output(batch_id: str, services: Services) -> Iterator[str]:
    for line in services.batches.lines(batch_id):
        if result := _result(line, services):
            yield json.dumps(result) + "\n"


def _result(line: BatchLine, services: Services) -> dict[str, Any] | None:
    """The output line of a request; None while its job has not ended."""
    result: dict[str, Any] = {
        "id": f"batch_req_{line.job_id}",
        "custom_id": line.custom_id,
        "response": None,
        "error": None,
    }
    try:
        job = services.ledger.job(line.job_id)
    except JobNotFound as error:
        return result | {"error": {"code": error.code, "message": error.message}}
    if job.status not in TERMINAL:
        return None
    if job.status == Status.COMPLETED:
        body = JobObject.of(job, services.settings.result_ttl_s).model_dump(mode="json")
        answer = {"status_code": 200, "request_id": job.id, "body": body}
        return result | {"response": answer}
    failed = {"code": job.error_code or job.status, "message": job.error_message or job.status}
    return result | {"error": failed}
