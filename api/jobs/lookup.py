"""Jobs by the id in a path: the server's, or the one that the client gave."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Path, Request

from api.auth.caller import Caller
from api.auth.scopes import READER, SUBMITTER
from api.http.access_log import add_to_log
from api.services import services_of
from shared.errors import JobNotFound
from shared.jobs import ID_PREFIX, Job
from shared.store.ledger import Ledger

JobId = Annotated[
    str, Path(max_length=128, description="The job's `id`, or the one that you gave it.")
]


def find(job_id: str, ledger: Ledger, caller: Caller) -> Job:
    """The job of that id, if this caller sees it; raises `JobNotFound`."""
    known = job_id
    if not job_id.startswith(ID_PREFIX):
        known = ledger.named(caller.space, job_id) or job_id
    job = ledger.job(known)
    if not caller.sees(job.owner):
        raise JobNotFound(f"no job {job_id!r}", param="job_id")
    add_to_log(job=job.id)
    return job


def _job_for(authenticated: Any) -> Any:
    """A dependency: the job of the path's id, for a caller with the scope of `authenticated`."""

    def job(job_id: JobId, request: Request, caller: Caller = authenticated) -> Job:
        return find(job_id, services_of(request).ledger, caller)

    return Depends(job)


ReadableJob = Annotated[Job, _job_for(READER)]
ChangeableJob = Annotated[Job, _job_for(SUBMITTER)]
