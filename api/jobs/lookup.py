"""Jobs by the id in a path: the server's, or the one that the client gave."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path, Request

from api.auth import Reader, Sender, Speaker
from api.http.access_log import note
from api.services import Services, services_of
from shared.errors import JobNotFound
from shared.jobs import ID_PREFIX, Job

JobId = Annotated[
    str, Path(max_length=128, description="The job's `id`, or the one that you gave it.")
]


def find(job_id: str, services: Services, sender: Sender) -> Job:
    """The job of that id, if this sender sees it; raises `JobNotFound`."""
    known = job_id
    if not job_id.startswith(ID_PREFIX):
        known = services.ledger.named(sender.space, job_id) or job_id
    job = services.ledger.job(known)
    if not sender.sees(job.owner):
        raise JobNotFound(f"no job {job_id!r}", param="job_id")
    note(job=job.id)
    return job


def _to_read(sender: Reader, job_id: JobId, request: Request) -> Job:
    return find(job_id, services_of(request), sender)


def _to_change(sender: Speaker, job_id: JobId, request: Request) -> Job:
    return find(job_id, services_of(request), sender)


Found = Annotated[Job, Depends(_to_read)]
Own = Annotated[Job, Depends(_to_change)]
