"""Submit a job, ask after it, fetch its audio."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, Depends, Path, Request, Response
from fastapi.responses import StreamingResponse

from api import admission
from api.deps import Use
from api.schemas import ErrorBody, JobObject, JobRequest
from shared.errors import JobNotReady, UnsupportedMedia
from shared.jobs import TERMINAL, Status
from shared.queue import announce

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
JobId = Annotated[str, Path(max_length=128)]
REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorBody, "description": "A field is wrong; `param` names it"},
    413: {"model": ErrorBody, "description": "The body is too large"},
    415: {"model": ErrorBody, "description": "The body is not sent as JSON"},
    503: {"model": ErrorBody, "description": "Try again after `Retry-After` seconds"},
}
MISSING: dict[int | str, dict[str, Any]] = {404: {"model": ErrorBody, "description": "No such job"}}


def json_only(request: Request) -> None:
    """Refuse a body that does not say that it is JSON."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise UnsupportedMedia("send the body as JSON: application/json", param="Content-Type")


@router.post("", status_code=202, responses=REFUSALS, dependencies=[Depends(json_only)])
def submit(
    body: JobRequest, response: Response, background: BackgroundTasks, services: Use
) -> JobObject:
    """Accept a text for synthesis; poll the job at `Location`."""
    job = services.ledger.job(admission.submit(body, services))
    # The ledger has it: from here on the workers would find it even if nobody told them.
    background.add_task(announce, services.celery, job.announcements())
    accepted = JobObject.of(job)
    response.headers["Location"] = accepted.links.self
    return accepted


@router.get("/{job_id}", responses=MISSING)
def retrieve(job_id: JobId, services: Use) -> JobObject:
    """Return the job as it stands."""
    return JobObject.of(services.ledger.job(job_id))


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
