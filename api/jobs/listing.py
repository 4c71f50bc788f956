"""The caller's jobs, page by page."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request

from api.auth.scopes import CanRead
from api.http.bounds import MAX_METADATA, MAX_MODEL_CHARS
from api.http.openapi import COMMON, error
from api.http.proxy import root_path_of
from api.jobs.lookup import find
from api.jobs.responses import JobObject, JobPageObject
from api.services import ServicesDep
from shared.errors import InvalidRequest, JobNotFound
from shared.jobs import Job, Status
from shared.models import full_name
from shared.settings import Settings
from shared.speech_model import Task
from shared.store.job_list import JobPage

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
METADATA_PREFIX = "metadata["


@router.get("", operation_id="list_jobs", responses=COMMON | error(404, "`after` is no job"))
def list_jobs(
    caller: CanRead,
    request: Request,
    services: ServicesDep,
    limit: Annotated[int, Query(ge=1, le=100, description="Jobs of a page.")] = 20,
    after: Annotated[
        str | None, Query(max_length=128, description="The `last_id` of the page before.")
    ] = None,
    order: Annotated[Literal["asc", "desc"], Query(description="By `created_at`.")] = "desc",
    status: Annotated[
        list[Status] | None, Query(max_length=len(Status), description="One or more of them.")
    ] = None,
    task: Annotated[Task | None, Query(description="What was asked of the model.")] = None,
    model: Annotated[
        str | None, Query(max_length=MAX_MODEL_CHARS, description="As in the job.")
    ] = None,
) -> JobPageObject:
    """List your jobs, the newest first; `metadata[key]=value` finds those with that in them."""
    metadata = _metadata(request)

    def keep(job: Job) -> bool:
        return (
            task in (None, job.spec.task)
            and (model is None or full_name(model) == job.spec.model)
            and metadata.items() <= job.spec.metadata.items()
        )

    if after:
        with suppress(JobNotFound):  # the id of a job that was deleted stays as it is
            after = find(after, services.ledger, caller).id
    page = services.job_list.page(
        caller.tenant,
        limit=limit,
        keep=keep,
        statuses=status or (),
        after=after,
        newest_first=order == "desc",
    )
    return _listed(page, services.settings, root_path_of(request))


def _metadata(request: Request) -> dict[str, str]:
    """The entries that a job's metadata must have; raises `InvalidRequest` if they are too many."""
    metadata = {
        name[len(METADATA_PREFIX) : -1]: value
        for name, value in request.query_params.items()
        if name.startswith(METADATA_PREFIX) and name.endswith("]")
    }
    if len(metadata) > MAX_METADATA:
        raise InvalidRequest(f"ask for {MAX_METADATA} of its entries at the most", param="metadata")
    return metadata


def _listed(page: JobPage, settings: Settings, root_path: str) -> JobPageObject:
    data = [JobObject.of(job, settings.result_ttl_s, root_path) for job in page.jobs]
    return JobPageObject(
        data=data,
        first_id=data[0].id if data else None,
        last_id=data[-1].id if data else page.last_id,
        has_more=page.has_more,
    )
