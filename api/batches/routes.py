"""Many jobs at once: JSONL in, JSONL out, in the shape of OpenAI's Batch API."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from api.auth.caller import Caller
from api.auth.scopes import READER, SUBMITTER, Submitter
from api.batches.responses import BatchObject
from api.batches.submit import CheckedLines, OnInvalid
from api.http.access_log import add_to_log, log_action
from api.http.bodies import media_type_of
from api.http.bounds import limited_by
from api.http.openapi import (
    COMMON,
    IDEMPOTENCY_KEY,
    REFUSALS,
    TEXT,
    described,
    error,
    request_body,
)
from api.http.proxy import root_path_of
from api.jobs.admission import CheckedJob
from api.jobs.responses import JobObject
from api.services import ServicesDep, services_of
from shared.errors import BatchNotFound, JobNotFound, UnsupportedMedia
from shared.jobs import TERMINAL, Status
from shared.store.batches import Batch, BatchLine
from shared.store.ledger import Ledger

router = APIRouter(prefix="/v1/batches", tags=["batches"])
BatchId = Annotated[str, Path(max_length=128, description="The batch's `id`.")]
# As clients send bytes of which they know nothing: openapi-python-client can send no JSONL.
BYTES_MEDIA_TYPE = "application/octet-stream"
JSONL_MEDIA_TYPES = (
    "application/jsonl",
    "application/x-ndjson",
    "application/x-jsonlines",
    "text/plain",
    BYTES_MEDIA_TYPE,
)
NO_BATCH_RESPONSES = COMMON | error(404, "No such batch")
EXAMPLE_LINE = {
    "custom_id": "1",
    "method": "POST",
    "url": "/v1/jobs",
    "body": {"task": "custom_voice", "voice": "vivian", "input": "The lamp was lit."},
}


JSONL_CONTENT = {
    "schema": {
        "type": "string",
        "format": "binary",
        "description": "JSON lines: a `custom_id`, the `url` `/v1/jobs`, and the `body` of a job.",
        **limited_by("TTS_MAX_BODY_BYTES"),
    },
    "example": json.dumps(EXAMPLE_LINE),
}


async def jsonl(request: Request) -> bytes:
    """The body, which has to say that it is JSONL."""
    if media_type_of(request) not in JSONL_MEDIA_TYPES:
        raise UnsupportedMedia("send the lines as application/jsonl", param="Content-Type")
    return await request.body()


@router.post(
    "",
    operation_id="submit_batch",
    status_code=202,
    responses=REFUSALS,
    openapi_extra={
        **request_body({JSONL_MEDIA_TYPES[0]: JSONL_CONTENT, BYTES_MEDIA_TYPE: JSONL_CONTENT}),
        **described(IDEMPOTENCY_KEY),
    },
)
async def submit(
    caller: Submitter,
    content: Annotated[bytes, Depends(jsonl)],
    request: Request,
    response: Response,
    services: ServicesDep,
    on_invalid: Annotated[
        OnInvalid,
        Query(description="`skip`: run the valid lines, and tell of the others in the output."),
    ] = OnInvalid.REFUSE,
) -> BatchObject:
    """Accept a job for each line, or none; poll the batch at `Location`.

    An error names all lines that are wrong, up to 100, in `error.lines`.
    """
    admission = services.batch_admission

    def check() -> CheckedLines:
        return admission.check(content, caller, on_invalid)

    checked = await services.splitter.run(request, len(content), check)
    has_files = any(isinstance(job, CheckedJob) and job.has_files for job in checked.values())
    run = services.storage_threads.run if has_files else run_in_threadpool
    batch_id = await run(admission.admit, content, checked, caller, on_invalid)
    add_to_log(batch=batch_id)
    batch = await run_in_threadpool(services.batches.batch, batch_id)
    accepted = BatchObject.of(batch, services.settings.result_ttl_s, root_path_of(request))
    response.headers["Location"] = accepted.links.self
    return accepted


def _batch_for(authenticated: Any) -> Any:
    """A dependency: the batch of the path's id, for a caller with the scope of `authenticated`."""

    def batch(batch_id: BatchId, request: Request, caller: Caller = authenticated) -> Batch:
        batch = services_of(request).batches.batch(batch_id)
        if not caller.sees(batch.owner):
            raise BatchNotFound(f"no batch {batch_id!r}", param="batch_id")
        add_to_log(batch=batch.id)
        return batch

    return Depends(batch)


ReadableBatch = Annotated[Batch, _batch_for(READER)]
ChangeableBatch = Annotated[Batch, _batch_for(SUBMITTER)]


@router.get("/{batch_id}", operation_id="get_batch", responses=NO_BATCH_RESPONSES)
def retrieve(batch: ReadableBatch, services: ServicesDep, request: Request) -> BatchObject:
    """Return the batch as it stands."""
    return BatchObject.of(batch, services.settings.result_ttl_s, root_path_of(request))


@router.post("/{batch_id}/cancel", operation_id="cancel_batch", responses=NO_BATCH_RESPONSES)
def cancel(batch: ChangeableBatch, services: ServicesDep, request: Request) -> BatchObject:
    """Cancel every job of the batch that has not ended."""
    services.batches.cancelling(batch.id)
    log_action("cancel", batch=batch.id)
    for line in services.batches.lines(batch.id):
        if line.job_id:
            with suppress(JobNotFound):
                services.ledger.cancel(line.job_id)
    found, ttl_s = services.batches.batch(batch.id), services.settings.result_ttl_s
    return BatchObject.of(found, ttl_s, root_path_of(request))


@router.get(
    "/{batch_id}/output",
    operation_id="get_batch_output",
    response_class=StreamingResponse,
    responses={200: {"content": {JSONL_MEDIA_TYPES[0]: TEXT}}, **NO_BATCH_RESPONSES},
)
def output(batch: ReadableBatch, services: ServicesDep, request: Request) -> StreamingResponse:
    """Return a line for each job that has ended so far, in the order of the batch."""
    ttl_s, root_path = services.settings.result_ttl_s, root_path_of(request)
    results = (
        _result(f"{batch.id}_{number}", line, services.ledger, ttl_s, root_path)
        for number, line in enumerate(services.batches.lines(batch.id), 1)
    )
    lines = (json.dumps(result) + "\n" for result in results if result)
    return StreamingResponse(lines, media_type=JSONL_MEDIA_TYPES[0])


def _result(
    name: str, line: BatchLine, ledger: Ledger, ttl_s: float, root_path: str
) -> dict[str, Any] | None:
    """The output line of a request; None while its job has not ended."""
    result: dict[str, Any] = {
        "id": f"batch_req_{line.job_id or name}",
        "custom_id": line.custom_id,
        "response": None,
        "error": None,
    }
    if line.error is not None:
        return result | {"error": {"code": line.error_code, "message": line.error}}
    try:
        job = ledger.job(line.job_id)
    except JobNotFound as error:
        return result | {"error": {"code": error.code, "message": error.message}}
    if job.status not in TERMINAL:
        return None
    if job.status == Status.COMPLETED:
        body = JobObject.of(job, ttl_s, root_path).model_dump(mode="json")
        answer = {"status_code": 200, "request_id": job.id, "body": body}
        return result | {"response": answer}
    failed = {"code": job.error_code or job.status, "message": job.error_message or job.status}
    return result | {"error": failed}
