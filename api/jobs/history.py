"""The history of a job: who worked on it and when, and why it is late or has failed."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel

from api.http.openapi import MISSING
from api.jobs.lookup import ReadableJob
from api.services import ServicesDep
from shared.store.history import History, HistoryEntry

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
After = Annotated[
    int, Query(ge=0, le=1_000_000, description="`next` of the answer before; 0 is the start.")
]


class HistoryEntryObject(BaseModel):
    """An entry: its number, its event, when it was in Unix seconds, and what is known of it.

    `segment` is a segment's number or `join`; `count` the segments of a job that was accepted, or
    the entries that were left out.
    """

    number: int
    at: float
    event: str
    segment: str | None
    attempt: int | None
    worker: str | None
    code: str | None
    reason: str | None
    request: str | None
    webhook: str | None
    count: int | None

    @classmethod
    def of(cls, number: int, entry: HistoryEntry) -> HistoryEntryObject:
        """The object of an entry of the ledger."""
        return cls(number=number, **entry.model_dump())


class HistoryObject(BaseModel):
    """The entries of a job's history from `after` on, the oldest first.

    `next` is the `after` with which the next ones are asked for. `recorded` is false of a job that
    was accepted by a version that kept no histories: then there are none.
    """

    object: Literal["list"] = "list"
    job: str
    recorded: bool
    next: int
    data: list[HistoryEntryObject]

    @classmethod
    def of(cls, name: str, found: History, after: int) -> HistoryObject:
        """The object of a history that was read from entry number `after` on."""
        data = [HistoryEntryObject.of(number, entry) for number, entry in found.entries]
        next_ = data[-1].number + 1 if data else after
        return cls(job=name, recorded=found.is_recorded, next=next_, data=data)


@router.get("/{job_id}/history", operation_id="get_job_history", responses=MISSING)
def history(
    job: ReadableJob,
    services: ServicesDep,
    after: After = 0,
) -> HistoryObject:
    """Return what happened to the job: accepted, claimed by, lost, retried, joined, delivered."""
    return HistoryObject.of(job.name or job.id, services.ledger.history(job.id, after), after)
