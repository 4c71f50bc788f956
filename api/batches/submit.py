"""From JSONL to a batch of admitted jobs: all of its lines, or none."""

from __future__ import annotations

import codecs
import hashlib
import io
import uuid
from collections.abc import Iterator
from contextlib import suppress
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from api import errors
from api.caller import Caller
from api.http.bounds import MAX_EMPTY_LINES, check_json
from api.jobs import submission
from api.jobs.admission import CheckedJob
from api.jobs.requests import JobRequest, VoiceClone
from api.services import Services
from shared.cpu_limit import cpu_limit
from shared.errors import (
    Busy,
    InvalidRequest,
    JobNotFound,
    TooComplex,
    Unavailable,
    Unconfirmed,
    UnsupportedMedia,
)
from shared.store.batches import BATCH_PREFIX, BatchLine

ENDPOINT: Literal["/v1/jobs"] = "/v1/jobs"


class RequestLine(BaseModel):
    """A line of a batch, in the shape of OpenAI's Batch API."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    custom_id: str = Field(min_length=1, max_length=512, description="Yours; each only once.")
    method: Literal["POST"] = "POST"
    url: Literal["/v1/jobs"] = ENDPOINT
    body: JobRequest


def admit(
    content: bytes, checked: dict[str, CheckedJob], services: Services, caller: Caller
) -> str:
    """Admit the checked jobs of a batch; returns its id.

    If they cannot all be queued now, those that were are cancelled, and what stood in the way is
    raised.
    """
    fingerprint = hashlib.sha256(content).hexdigest()
    batch_id = _batch_id(caller)
    services.batches.begin(
        batch_id,
        owner=caller.owner,
        endpoint=ENDPOINT,
        fingerprint=fingerprint,
        total=len(checked),
        ttl_s=services.settings.result_ttl_s,
    )
    if services.batches.batch(batch_id).admitted_at is not None:
        return batch_id
    lines: list[BatchLine] = []
    try:
        for line in _admit(batch_id, checked, services, caller):
            lines.append(line)
        services.batches.admitted(batch_id, lines)
    except (Busy, Unavailable, InvalidRequest) as error:
        accepted = [line.job_id for line in lines]
        if isinstance(error, Unconfirmed):
            accepted.append(error.job_id)
        _take_back(batch_id, accepted, services)
        raise
    return batch_id


def check(content: bytes, services: Services, caller: Caller) -> dict[str, CheckedJob]:
    """Each line's job by its `custom_id`, in order.

    Raises `InvalidRequest`, and `TooComplex` if all lines together take too long to split.
    """
    with cpu_limit(services.settings.max_split_cpu_s):
        return _check(content, services, caller)


def _check(content: bytes, services: Services, caller: Caller) -> dict[str, CheckedJob]:
    served, most = services.served.models(), services.settings.max_open_jobs
    checked: dict[str, CheckedJob] = {}
    for number, raw in _lines(content):
        where = f"line {number}"
        if len(checked) == most:
            raise _bad(where, f"a batch may have {most:,} lines; send it in parts", None)
        line = _read(raw, where)
        if line.custom_id in checked:
            raise _bad(where, f"custom_id {line.custom_id!r} was used before", "custom_id")
        try:
            _refuse_urls(line.body)
            sent = submission.from_json(line.body, services.settings.max_input_chars)
            checked[line.custom_id] = services.job_admission.check(sent, caller, served)
        except TooComplex:
            raise
        except (InvalidRequest, UnsupportedMedia) as error:
            raise _bad(where, error.message, error.param) from None
    if not checked:
        raise InvalidRequest("the batch has no lines", param="body")
    return checked


def _refuse_urls(request: JobRequest) -> None:
    """One after another, they could take hours."""
    if isinstance(request, VoiceClone) and request.reference and request.reference.is_url:
        raise InvalidRequest("in a batch, send the file in base64", param="reference.audio")


def _lines(content: bytes) -> Iterator[tuple[int, bytes]]:
    """The lines that are not empty, with their numbers from 1; raises `InvalidRequest`."""
    empty = 0
    for number, raw in enumerate(io.BytesIO(content.removeprefix(codecs.BOM_UTF8)), 1):
        if raw.strip():
            yield number, raw
        elif (empty := empty + 1) > MAX_EMPTY_LINES:
            said = f"the batch has more than {MAX_EMPTY_LINES:,} empty lines"
            raise InvalidRequest(said, param=f"line {number}")


def _read(raw: bytes, where: str) -> RequestLine:
    try:
        check_json(raw)
        return RequestLine.model_validate_json(raw, strict=True)
    except InvalidRequest as error:
        raise _bad(where, error.message, error.param) from None
    except ValidationError as error:
        problem = errors.first_field_error(error.errors())
        raise _bad(where, problem.message, problem.param) from None


def _bad(where: str, message: str, param: str | None) -> InvalidRequest:
    return InvalidRequest(f"{where}: {message}", param=f"{where}: {param}" if param else where)


def _batch_id(caller: Caller) -> str:
    """With an idempotency key, the same each time."""
    if caller.idempotency_key is None:
        return f"{BATCH_PREFIX}{uuid.uuid4().hex}"
    name = f"{caller.owner}:{caller.idempotency_key}"
    return BATCH_PREFIX + hashlib.sha256(name.encode()).hexdigest()[:32]


def _admit(
    batch_id: str, checked: dict[str, CheckedJob], services: Services, caller: Caller
) -> Iterator[BatchLine]:
    for number, (custom_id, job) in enumerate(checked.items()):
        # A client that sends the batch again after a lost answer gets these jobs.
        once = caller.once(f"batch:{batch_id}/{number}")
        admitted = services.job_admission.admit(job, once, batch=batch_id)
        yield BatchLine(custom_id=custom_id, job_id=admitted.id)


def _take_back(batch_id: str, jobs: list[str], services: Services) -> None:
    """Withdraw the accepted jobs of a refused batch: sent again, it begins anew.

    Unless it was sent twice at once and the other was accepted: then they are that one's.
    """
    with suppress(Unavailable):
        if services.batches.abandon(batch_id):
            for job_id in jobs:
                with suppress(JobNotFound):
                    services.ledger.withdraw(job_id)
