"""What the ledger's hashes hold, and what is made of them."""

from __future__ import annotations

from typing import Any

from shared.document import Segment
from shared.jobs import Job, Outline, SpeechSpec, SpokenSegment
from shared.webhooks import Webhook

# Fields of a finished segment, in the order in which `read_spoken` takes them.
SPOKEN = ("text", "range", "key", "samples", "truncated")


def read_job(fields: dict[str, Any]) -> Job:
    """A job from its hash, and what was known with it when it was read."""
    webhook = fields.get("webhook")
    read = {
        "webhook": webhook and Webhook.model_validate_json(webhook).url,
        "spec": SpeechSpec.model_validate_json(fields["spec"]),
        "outline": Outline.model_validate_json(fields["outline"]),
    }
    return Job.model_validate(_gather_batch_sizes(fields) | read)


def _gather_batch_sizes(fields: dict[str, str]) -> dict[str, Any]:
    """The counters `batch:N` of a job's hash as one field."""
    sizes = {k[6:]: v for k, v in fields.items() if k.startswith("batch:")}
    rest = {k: v for k, v in fields.items() if not k.startswith("batch:")}
    return rest | {"batch_sizes": sizes}


def write_range(segment: Segment) -> str:
    """What the ledger keeps of a segment beside its text, and never reads itself."""
    return f"{segment.start} {segment.end} {segment.pause_s:.3f}"


def read_spoken(row: list[str]) -> SpokenSegment:
    """A finished segment from its fields."""
    text, place, key, samples, truncated = row
    start, end, pause_s = place.split()
    return SpokenSegment(
        text=text,
        start=int(start),
        end=int(end),
        pause_s=float(pause_s),
        key=key,
        samples=int(samples),
        truncated=truncated == "1",
    )
