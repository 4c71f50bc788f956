"""Submit a job, ask after it, cancel it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Response

from api import admission
from api.deps import Use
from api.job_schemas import JobObject
from api.schemas import ErrorBody
from api.sender import From
from api.submission import BODY, Sent

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
JobId = Annotated[str, Path(max_length=128)]
REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorBody, "description": "A field is wrong; `param` names it"},
    409: {"model": ErrorBody, "description": "The `Idempotency-Key` came with another request"},
    413: {"model": ErrorBody, "description": "The body is too large"},
    415: {
        "model": ErrorBody,
        "description": "Neither JSON nor a form, or a file of another kind",
    },
    429: {"model": ErrorBody, "description": "You have too much in the queue: see `Retry-After`"},
    503: {"model": ErrorBody, "description": "Try again after `Retry-After` seconds"},
}
MISSING: dict[int | str, dict[str, Any]] = {404: {"model": ErrorBody, "description": "No such job"}}


@router.post("", status_code=202, responses=REFUSALS, openapi_extra=BODY)
def submit(sent: Sent, response: Response, sender: From, services: Use) -> JobObject:
    """Accept a text for synthesis; poll the job at `Location`.

    With an `Idempotency-Key` header, the same request sent again is the same job.
    """
    checked = admission.check(sent, services, services.roster.models())
    job = admission.admit(checked, services, sender)
    accepted = JobObject.of(job, services.settings.result_ttl_s)
    response.headers["Location"] = accepted.links.self
    return accepted


@router.get("/{job_id}", responses=MISSING)
def retrieve(job_id: JobId, services: Use) -> JobObject:
    """Return the job as it stands."""
    return JobObject.of(services.ledger.job(job_id), services.settings.result_ttl_s)


@router.post("/{job_id}/cancel", responses=MISSING)
def cancel(job_id: JobId, services: Use) -> JobObject:
    """Cancel the job, unless it has ended; what is being spoken of it stops within 2 seconds."""
    services.ledger.cancel(job_id)
    return JobObject.of(services.ledger.job(job_id), services.settings.result_ttl_s)
