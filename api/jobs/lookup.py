"""Jobs by the id in a path: the server's, or the one that the client gave."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path, Request

from api.auth import CanRead, CanSubmit
from api.caller import Caller
from api.http.access_log import add_to_log
from api.services import Services, services_of
from shared.errors import JobNotFound
from shared.jobs import ID_PREFIX, Job

JobId = Annotated[
    str, Path(max_length=128, description="The job's `id`, or the one that you gave it.")
]


def find(job_id: str, services: Services, caller: Caller) -> Job:
    """The job of that id, if this caller sees it; raises `JobNotFound`."""
    known = job_id
    if not job_id.startswith(ID_PREFIX):
        known = services.ledger.named(caller.space, job_id) or job_id
    job = services.ledger.job(known)
    if not caller.sees(job.owner):
        raise JobNotFound(f"no job {job_id!r}", param="job_id")
    add_to_log(job=job.id)
    return job


def _to_read(caller: CanRead, job_id: JobId, request: Request) -> Job:
    return find(job_id, services_of(request), caller)


def _to_change(caller: CanSubmit, job_id: JobId, request: Request) -> Job:
    return find(job_id, services_of(request), caller)


ReadableJob = Annotated[Job, Depends(_to_read)]
ChangeableJob = Annotated[Job, Depends(_to_change)]
