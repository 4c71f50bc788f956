"""The server's description of a batch, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from client.job import Job


def is_batch(name: str) -> bool:
    """True if `name` is the id of a batch, not of a job."""
    return name.startswith("batch_")


@dataclass(frozen=True, slots=True)
class Batch:
    """Many jobs submitted in one request; `failed` includes the cancelled ones."""

    id: str
    status: str
    total: int
    completed: int
    failed: int
    raw: Mapping[str, Any] = field(repr=False)

    @property
    def ended(self) -> bool:
        """True if the batch is in a final status."""
        return self.status in ("completed", "cancelled")

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Self:
        """Read a batch object. Raises KeyError or TypeError if it is none."""
        counts = body["request_counts"]
        return cls(
            id=body["id"],
            status=body["status"],
            total=counts["total"],
            completed=counts["completed"],
            failed=counts["failed"],
            raw=body,
        )


@dataclass(frozen=True, slots=True)
class BatchResult:
    """The outcome of one line: its completed job, or the error message."""

    custom_id: str
    job: Job | None
    error: str | None

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Self:
        """Read a line of a batch's output. Raises KeyError or TypeError if it is none."""
        answer = body["response"]
        error = body["error"]
        return cls(
            body["custom_id"],
            Job.parse(answer["body"]) if answer else None,
            error["message"] if error else None,
        )
