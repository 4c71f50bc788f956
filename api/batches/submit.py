"""From JSONL to a batch of admitted jobs: all of its lines, or none."""

from __future__ import annotations

import codecs
import hashlib
import io
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from api.auth.caller import Caller
from api.http import errors
from api.http.bounds import MAX_EMPTY_LINES, check_json
from api.jobs import submission
from api.jobs.admission import CheckedJob, JobAdmission
from api.jobs.requests import JobRequest, VoiceClone
from api.text.cpu_limit import cpu_limit
from shared.errors import (
    Busy,
    InvalidRequest,
    JobNotFound,
    TooComplex,
    Unavailable,
    Unconfirmed,
    UnsupportedMedia,
)
from shared.settings import Settings
from shared.store.batches import BATCH_PREFIX, Batches, BatchLine
from shared.store.ledger import Ledger
from shared.store.workers import CachedModels

ENDPOINT: Literal["/v1/jobs"] = "/v1/jobs"


class RequestLine(BaseModel):
    """A line of a batch, in the shape of OpenAI's Batch API."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    custom_id: str = Field(min_length=1, max_length=512, description="Yours; each only once.")
    method: Literal["POST"] = "POST"
    url: Literal["/v1/jobs"] = ENDPOINT
    body: JobRequest


@dataclass(frozen=True)
class BatchAdmission:
    """Checks the lines of batches, and admits their jobs."""

    settings: Settings
    batches: Batches
    ledger: Ledger
    served: CachedModels
    jobs: JobAdmission

    def check(self, content: bytes, caller: Caller) -> dict[str, CheckedJob]:
        """Each line's job by its `custom_id`, in order.

        Raises `InvalidRequest`, and `TooComplex` if all lines together take too long to split.
        """
        with cpu_limit(self.settings.max_split_cpu_s):
            return self._check(content, caller)

    def _check(self, content: bytes, caller: Caller) -> dict[str, CheckedJob]:
        served, most = self.served.models(), self.settings.max_open_jobs
        checked: dict[str, CheckedJob] = {}
        for number, raw in _lines(content):
            where = f"line {number}"
            if len(checked) == most:
                raise _bad(where, f"a batch may have {most:,} lines; send it in parts", None)
            line = _read(raw, where)
            body = line.body
            if line.custom_id in checked:
                raise _bad(where, f"custom_id {line.custom_id!r} was used before", "custom_id")
            try:
                if isinstance(body, VoiceClone) and body.reference and body.reference.is_url:
                    # One after another, they could take hours.
                    raise InvalidRequest(
                        "in a batch, send the file in base64", param="reference.audio"
                    )
                sent = submission.from_json(body, self.settings.max_input_chars)
                checked[line.custom_id] = self.jobs.check(sent, caller, served)
            except TooComplex:
                raise
            except (InvalidRequest, UnsupportedMedia) as error:
                raise _bad(where, error.message, error.param) from None
        if not checked:
            raise InvalidRequest("the batch has no lines", param="body")
        return checked

    def admit(self, content: bytes, checked: dict[str, CheckedJob], caller: Caller) -> str:
        """Admit the checked jobs of a batch; returns its id.

        If one cannot be queued now, those before it are withdrawn, and its error is raised.
        """
        batch_id = _batch_id(caller)
        self.batches.begin(
            batch_id,
            owner=caller.owner,
            endpoint=ENDPOINT,
            fingerprint=hashlib.sha256(content).hexdigest(),
            total=len(checked),
            ttl_s=self.settings.result_ttl_s,
        )
        if self.batches.batch(batch_id).admitted_at is not None:
            return batch_id
        lines: list[BatchLine] = []
        try:
            for number, (custom_id, job) in enumerate(checked.items()):
                # A client that sends the batch again after a lost answer gets these jobs.
                once = caller.once(f"batch:{batch_id}/{number}")
                admitted = self.jobs.admit(job, once, batch=batch_id)
                lines.append(BatchLine(custom_id=custom_id, job_id=admitted.id))
            self.batches.admitted(batch_id, lines)
        except (Busy, Unavailable, InvalidRequest) as error:
            accepted = [line.job_id for line in lines]
            if isinstance(error, Unconfirmed):
                accepted.append(error.job_id)
            self._take_back(batch_id, accepted)
            raise
        return batch_id

    def _take_back(self, batch_id: str, jobs: list[str]) -> None:
        """Withdraw the accepted jobs of a refused batch: sent again, it begins anew.

        Does nothing if the batch was sent twice at once and the other request was accepted: then
        the jobs belong to that one.
        """
        with suppress(Unavailable):
            if self.batches.abandon(batch_id):
                for job_id in jobs:
                    with suppress(JobNotFound):
                        self.ledger.withdraw(job_id)


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
    """A new id; with an idempotency key, one that follows from the key."""
    if caller.idempotency_key is None:
        return f"{BATCH_PREFIX}{uuid.uuid4().hex}"
    name = f"{caller.owner}:{caller.idempotency_key}"
    return BATCH_PREFIX + hashlib.sha256(name.encode()).hexdigest()[:32]
