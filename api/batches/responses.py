"""The response models of a batch."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from shared.store.batches import Batch


class RequestCounts(BaseModel):
    """Numbers of a batch's lines by outcome; skipped and cancelled ones count as failed."""

    total: int
    completed: int
    failed: int


BatchStatus = Literal["validating", "in_progress", "cancelling", "completed", "cancelled"]


class BatchObject(BaseModel):
    """A batch, in the shape of OpenAI's; times in Unix seconds."""

    id: str
    object: Literal["batch"] = "batch"
    endpoint: str
    status: BatchStatus
    created_at: int
    in_progress_at: int | None
    cancelling_at: int | None
    completed_at: int | None
    expires_at: int | None
    request_counts: RequestCounts
    links: BatchLinks

    @classmethod
    def of(cls, batch: Batch, ttl_s: float, root_path: str) -> BatchObject:
        """The public view of a batch, which is kept for `ttl_s` seconds.

        Its links begin with `root_path`.
        """
        url = f"{root_path}/v1/batches/{batch.id}"
        return cls(
            id=batch.id,
            endpoint=batch.endpoint,
            status=_status(batch),
            created_at=int(batch.created_at),
            in_progress_at=_seconds(batch.admitted_at),
            cancelling_at=_seconds(batch.cancelling_at),
            completed_at=_seconds(batch.completed_at),
            expires_at=_seconds(batch.completed_at and batch.completed_at + ttl_s),
            request_counts=RequestCounts(
                total=batch.total + batch.invalid,
                completed=batch.completed,
                failed=batch.failed + batch.cancelled + batch.invalid,
            ),
            links=BatchLinks(self=url, output=f"{url}/output"),
        )


class BatchLinks(BaseModel):
    """The URLs of a batch."""

    self: str
    output: str


def _status(batch: Batch) -> BatchStatus:
    if batch.admitted_at is None:
        return "validating"
    if batch.open:
        return "cancelling" if batch.cancelling_at else "in_progress"
    return "cancelled" if batch.cancelled and batch.cancelling_at else "completed"


def _seconds(time: float | None) -> int | None:
    return None if time is None else int(time)
