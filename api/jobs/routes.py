"""Submit a job, ask after it, cancel it, delete it."""

from __future__ import annotations

import re
from contextlib import suppress
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response
from starlette.concurrency import run_in_threadpool

from api.auth.caller import Caller
from api.auth.scopes import CanRead, CanSubmit, Submitter
from api.http.access_log import add_to_log, log_action
from api.http.headers import cancel_after_s, preferred_wait
from api.http.openapi import CANCEL_AFTER, IDEMPOTENCY_KEY, MISSING, PREFER, REFUSALS, described
from api.http.proxy import root_path_of
from api.jobs.admission import CheckedJob
from api.jobs.body import BODY, SubmissionDep
from api.jobs.lookup import ChangeableJob, ReadableJob
from api.jobs.responses import JobDeleted, JobObject, poll_after_ms
from api.jobs.submission import Submission
from api.jobs.waiter import JobWaiter
from api.services import ServicesDep, services_of
from shared.errors import InvalidRequest, Unavailable
from shared.jobs import ID_PREFIX, Job
from shared.storage_paths import job_folder
from shared.store.batches import BATCH_PREFIX

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
_CLIENT_ID_PATTERN = r"[A-Za-z0-9_-]{1,64}"
_SERVER_PREFIXES = (ID_PREFIX, BATCH_PREFIX)


async def _client_id(
    job_id: Annotated[
        str,
        Path(
            description="Your own id for the job: up to 64 letters, digits, - and _.",
            json_schema_extra={
                "maxLength": 64,
                "pattern": f"^{_CLIENT_ID_PATTERN}$",
                "not": {"pattern": f"^({'|'.join(_SERVER_PREFIXES)})"},
            },
        ),
    ],
) -> str:
    """The id, checked by us: before the body is read, and not only before the route begins."""
    if not re.fullmatch(_CLIENT_ID_PATTERN, job_id):
        raise InvalidRequest("an id has 1 to 64 letters, digits, - and _", param="job_id")
    if job_id.startswith(_SERVER_PREFIXES):
        said = " or ".join(_SERVER_PREFIXES)
        raise InvalidRequest(f"ids that begin with {said} are the server's", param="job_id")
    return job_id


ClientId = Annotated[str, Depends(_client_id)]


@router.post(
    "",
    operation_id="submit_job",
    status_code=202,
    response_model=JobObject,
    responses=REFUSALS,
    openapi_extra=BODY | described(IDEMPOTENCY_KEY, PREFER, CANCEL_AFTER),
)
async def submit(caller: Submitter, sent: SubmissionDep, request: Request) -> Response:
    """Accept a text for synthesis; poll the job at `Location`.

    With an `Idempotency-Key` header, the same request sent again is the same job.
    """
    return await _accept(sent, caller, request)


@router.put(
    "/{job_id}",
    operation_id="submit_job_as",
    status_code=202,
    response_model=JobObject,
    responses=REFUSALS,
    openapi_extra=BODY | described(PREFER, CANCEL_AFTER),
)
async def submit_as(
    caller: CanSubmit, job_id: ClientId, sent: SubmissionDep, request: Request
) -> Response:
    """Accept a text for synthesis under an id of your own.

    The same request sent again is the same job; another one under this id is refused.
    """
    return await _accept(sent, caller, request, name=job_id)


async def _accept(
    sent: Submission, caller: Caller, request: Request, *, name: str | None = None
) -> Response:
    """The response to a submission, once it is checked and admitted."""
    services, after_s = services_of(request), cancel_after_s(request)
    admission, served = services.job_admission, services.served

    def check() -> CheckedJob:
        return admission.check(sent, caller, served.models())

    checked = await run_in_threadpool(check)
    run = services.storage_threads.run if checked.has_files else run_in_threadpool
    job = await run(admission.admit, checked, caller, name=name, cancel_after_s=after_s)
    ttl_s = services.settings.result_ttl_s
    return await _job_response(job, request, caller, services.job_waiter, ttl_s, status=202)


async def _job_response(
    job: Job,
    request: Request,
    caller: Caller,
    waiter: JobWaiter,
    ttl_s: float,
    *,
    status: int = 200,
) -> Response:
    """The job, after `Prefer: wait` if it was sent, with the time of the next poll."""
    headers = {}
    add_to_log(job=job.id)
    if seconds := preferred_wait(request):
        job = await waiter.wait_until_ended(job, seconds, caller, request)
        headers["Preference-Applied"] = f"wait={seconds}"
    if after_ms := poll_after_ms(job):
        headers["openai-poll-after-ms"] = str(after_ms)
    body = JobObject.of(job, ttl_s, root_path_of(request))
    if status == HTTPStatus.ACCEPTED:
        headers["Location"] = body.links.self
    # Written here: FastAPI would check it once more, and this is asked for more than all else.
    return Response(body.model_dump_json(), status, headers, "application/json")


@router.get(
    "/{job_id}",
    operation_id="get_job",
    response_model=JobObject,
    responses=MISSING,
    openapi_extra=described(PREFER),
)
async def retrieve(caller: CanRead, job: ReadableJob, request: Request) -> Response:
    """Return the job as it stands, or with `Prefer: wait=n` when it has ended.

    `openai-poll-after-ms` says when it is worth to ask again.
    """
    services = services_of(request)
    ttl_s = services.settings.result_ttl_s
    return await _job_response(job, request, caller, services.job_waiter, ttl_s)


@router.post("/{job_id}/cancel", operation_id="cancel_job", responses=MISSING)
def cancel(job: ChangeableJob, services: ServicesDep, request: Request) -> JobObject:
    """Cancel the job, unless it has ended; what is being spoken of it stops within 2 seconds."""
    if services.ledger.cancel(job.id):
        log_action("cancel", job=job.id)
    job, ttl_s = services.ledger.job(job.id), services.settings.result_ttl_s
    return JobObject.of(job, ttl_s, root_path_of(request))


@router.delete("/{job_id}", operation_id="delete_job", responses=MISSING)
async def delete(job: ChangeableJob, services: ServicesDep) -> JobDeleted:
    """Delete the job and its audio; one that has not ended is cancelled first."""
    await run_in_threadpool(services.ledger.cancel, job.id)
    if not await run_in_threadpool(services.ledger.forget, job.id):
        raise Unavailable("the job is of a newer version: delete it through a server of that one")
    log_action("delete", job=job.id)
    # What a worker was just about to store goes when forgotten jobs are swept.
    with suppress(Unavailable):
        delete_folder = services.storage.delete_folder
        await services.storage_threads.run(delete_folder, job_folder(job.id))
    return JobDeleted(id=job.name or job.id)
