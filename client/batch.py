"""What the server says about a batch, as plain frozen values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from client.job import Job


def is_batch(name: str) -> bool:
    """Whether an id is a batch's, and not a job's."""
    return name.startswith("batch_")


@dataclass(frozen=True, slots=True)
class Batch:
    """Many jobs that were sent as one; `failed` has the cancelled ones in it."""

    id: str
    status: str
    total: int
    completed: int
    failed: int
    raw: Mapping[str, Any] = field(repr=False)

    @property
    def ended(self) -> bool:
        """Whether nothing will change any more."""
        return self.status in ("completed", "cancelled")

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Self:
        """Read a batch object; KeyError or TypeError where it is none."""
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
    """What became of one line: its completed job, or why there is none."""

    custom_id: str
    job: Job | None
    error: str | None

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Self:
        """Read a line of a batch's output; KeyError or TypeError where it is none."""
        answer = body["response"]
        error = body["error"]
        return cls(
            body["custom_id"],
            Job.parse(answer["body"]) if answer else None,
            error["message"] if error else None,
        )
