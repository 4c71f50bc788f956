"""The rows of the ledger: its hashes in Redis as records."""

from __future__ import annotations

import json
import logging
from typing import Any, TypeVar

from pydantic import ValidationError

from shared.document import Segment
from shared.jobs import Job, Outline, SpeechSpec, SpokenSegment
from shared.records import Record
from shared.speech_model import Task
from shared.store.webhooks import Webhook

_log = logging.getLogger(__name__)
_Record = TypeVar("_Record", bound=Record)
# Fields of a finished segment, in the order in which `read_spoken` takes them.
SPOKEN_FIELDS = ("text", "range", "key", "samples", "truncated")


def read_job(fields: dict[str, Any]) -> Job:
    """A job from its hash, `seen_at` and, if it is known, its place in the queue.

    A job of a newer version is read as far as this one understands it, so that it can be polled,
    listed, cancelled and deleted: see `Job.is_understood`.
    """
    webhook = fields.get("webhook")
    spec, is_understood = _read_spec(fields["spec"])
    prefix = (
        "batch:"  # of the counters `batch:N` of segments spoken N at once, which are one field here
    )
    read = {
        "batch_sizes": {
            name.removeprefix(prefix): count
            for name, count in fields.items()
            if name.startswith(prefix)
        },
        "webhook": webhook and Webhook.model_validate_json(webhook).url,
        "spec": spec,
        "outline": Outline.model_validate_json(fields["outline"]),
    }
    job, all_known = _read_known(Job, fields | read, {"status": "in_progress"})
    return job if is_understood and all_known else job.model_copy(update={"is_understood": False})


def _read_spec(written: str) -> tuple[SpeechSpec, bool]:
    raw = json.loads(written)
    spec, all_known = _read_known(SpeechSpec, raw, {"task": Task.CUSTOM_VOICE})
    if not all_known:
        # Names only: the values have texts of its owner, such as instructions.
        unknown = sorted(raw.keys() - SpeechSpec.model_fields.keys())
        _log.warning(
            "A job's spec is of a newer version: task %s, unknown: %s",
            raw.get("task"),
            ", ".join(unknown) or "no field",
        )
        spec = spec.model_copy(update={"task": raw.get("task", spec.task)})  # to be shown as it is
    return spec, all_known


def _read_known(
    model: type[_Record], fields: dict[str, Any], instead: dict[str, Any]
) -> tuple[_Record, bool]:
    """The record of the fields that it can read, or of `instead`; and whether it reads all."""
    try:
        return model.model_validate(fields), True
    except ValidationError as error:
        unknown = {each["loc"][0] for each in error.errors()}
        known = {name: value for name, value in fields.items() if name not in unknown}
        return model.model_validate(instead | known), False


def write_range(segment: Segment) -> str:
    """The ledger's data of a segment beside its text, which no step reads."""
    return f"{segment.start} {segment.end} {segment.pause_s:.3f}"


def read_spoken(row: list[str]) -> SpokenSegment:
    """A finished segment from its fields."""
    text, characters, key, samples, truncated = row
    start, end, pause_s = characters.split()
    return SpokenSegment(
        text=text,
        start=int(start),
        end=int(end),
        pause_s=float(pause_s),
        key=key,
        samples=int(samples),
        truncated=truncated == "1",
    )
