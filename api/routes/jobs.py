"""Submit a job, ask after it, fetch its audio."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.responses import StreamingResponse

from api import admission
from api.deps import Use
from api.schemas import ErrorBody, JobObject, JobRequest
from api.sender import From
from shared.errors import JobNotReady, UnsupportedMedia
from shared.jobs import TERMINAL, Status

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
JobId = Annotated[str, Path(max_length=128)]
REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorBody, "description": "A field is wrong; `param` names it"},
    409: {"model": ErrorBody, "description": "The `Idempotency-Key` came with another request"},
    413: {"model": ErrorBody, "description": "The body is too large"},
    415: {"model": ErrorBody, "description": "The body is not sent as JSON"},
    429: {"model": ErrorBody, "description": "You have too much in the queue: see `Retry-After`"},
    503: {"model": ErrorBody, "description": "Try again after `Retry-After` seconds"},
}
MISSING: dict[int | str, dict[str, Any]] = {404: {"model": ErrorBody, "description": "No such job"}}


def json_only(request: Request) -> None:
    """Refuse a body that does not say that it is JSON."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise UnsupportedMedia("send the body as JSON: application/json", param="Content-Type")


@router.post("", status_code=202, responses=REFUSALS, dependencies=[Depends(json_only)])
def submit(body: JobRequest, response: Response, sender: From, services: Use) -> JobObject:
    """Accept a text for synthesis; poll the job at `Location`.

    With an `Idempotency-Key` header, the same request sent again is the same job.
    """
    checked = admission.check(body, services, services.roster.models())
    job = services.ledger.job(admission.admit(checked, services, sender))
    # The ledger has it: from here on the workers would find it even if nobody told them.
    services.announcer.announce(job.spec.model, job.total)
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


@router.get(
    "/{job_id}/content",
    response_class=StreamingResponse,
    responses={
        200: {"content": {"audio/wav": {}}, "description": "24 kHz, mono, 16 bit"},
        409: {"model": ErrorBody, "description": "Not ready, or never will be"},
        **MISSING,
    },
)
def content(job_id: JobId, services: Use) -> StreamingResponse:
    """Return the finished audio."""
    job = services.ledger.job(job_id)
    if job.status != Status.COMPLETED or job.result_key is None:
        fate = "there is no audio" if job.status in TERMINAL else "poll it until it is completed"
        raise JobNotReady(f"the job is {job.status}: {fate}")
    audio = services.storage.open_read(job.result_key)
    headers = {
        "Content-Length": str(audio.size_bytes),
        "Content-Disposition": f'attachment; filename="{job.id}.wav"',
        "ETag": f'"{audio.etag.strip(chr(34))}"',
    }
    return StreamingResponse(audio.chunks, media_type="audio/wav", headers=headers)
