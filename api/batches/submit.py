"""From JSONL to a batch of admitted jobs: all of its lines or none, or those that are valid."""

from __future__ import annotations

import codecs
import hashlib
import io
import json
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
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
    InvalidLines,
    InvalidRequest,
    JobNotFound,
    LineError,
    TooComplex,
    Unavailable,
    Unconfirmed,
    UnsupportedMedia,
)
from shared.settings import Settings
from shared.store.batches import BATCH_PREFIX, Batches, BatchLine
from shared.store.ledger import Ledger
from shared.store.workers import CachedModels, ServedModel

ENDPOINT: Literal["/v1/jobs"] = "/v1/jobs"
MAX_CUSTOM_ID_CHARS = 512
MAX_LINE_ERRORS = 100  # that a refusal names


class OnInvalid(StrEnum):
    """The treatment of a batch with wrong lines: refused whole, or run without them."""

    REFUSE = "refuse"
    SKIP = "skip"


class RequestLine(BaseModel):
    """A line of a batch, in the shape of OpenAI's Batch API."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    custom_id: str = Field(
        min_length=1, max_length=MAX_CUSTOM_ID_CHARS, description="Yours; each only once."
    )
    method: Literal["POST"] = "POST"
    url: Literal["/v1/jobs"] = ENDPOINT
    body: JobRequest


CheckedLines = dict[str, CheckedJob | LineError]


@dataclass(frozen=True)
class BatchAdmission:
    """Checks the lines of batches, and admits their jobs."""

    settings: Settings
    batches: Batches
    ledger: Ledger
    served: CachedModels
    jobs: JobAdmission

    def check(self, content: bytes, caller: Caller, on_invalid: OnInvalid) -> CheckedLines:
        """Each line's job, or what is wrong with it, by its `custom_id`, in order.

        Raises `InvalidLines` if lines are wrong, unless others are valid and those may be skipped;
        `InvalidRequest` if there are too many or none, and `TooComplex` if all lines together take
        too long to split.
        """
        with cpu_limit(self.settings.max_split_cpu_s):
            checked = self._check(content, caller, on_invalid)
        wrong = [each for each in checked.values() if isinstance(each, LineError)]
        if not checked:
            raise InvalidRequest("the batch has no lines", param="body")
        if wrong and (on_invalid is OnInvalid.REFUSE or len(wrong) == len(checked)):
            raise InvalidLines(wrong[:MAX_LINE_ERRORS])
        return checked

    def _check(self, content: bytes, caller: Caller, on_invalid: OnInvalid) -> CheckedLines:
        served, most = self.served.models(), self.settings.max_open_jobs
        checked: CheckedLines = {}
        wrong = 0
        for number, raw in _lines(content):
            if len(checked) == most:
                said = f"a batch may have {most:,} lines; send it in parts"
                raise InvalidLines([LineError(number, said, None, InvalidRequest.code)])
            try:
                line = _read(raw)
                if line.custom_id in checked:
                    said = f"custom_id {line.custom_id!r} was used before"
                    raise InvalidRequest(said, param="custom_id")
                checked[line.custom_id] = self._checked_job(line.body, caller, served)
            except TooComplex:
                raise
            except (InvalidRequest, UnsupportedMedia) as error:
                name = _custom_id(raw)
                named = f"line {number}" if name is None or name in checked else name
                checked[named] = LineError(number, error.message, error.param, error.code)
                wrong += 1
                if wrong == MAX_LINE_ERRORS and on_invalid is OnInvalid.REFUSE:
                    break
        return checked

    def _checked_job(
        self, body: JobRequest, caller: Caller, served: list[ServedModel]
    ) -> CheckedJob:
        if isinstance(body, VoiceClone) and body.reference and body.reference.is_url:
            # One after another, they could take hours.
            raise InvalidRequest("in a batch, send the file in base64", param="reference.audio")
        sent = submission.from_json(body, self.settings.max_input_chars)
        return self.jobs.check(sent, caller, served)

    def admit(
        self, content: bytes, checked: CheckedLines, caller: Caller, on_invalid: OnInvalid
    ) -> str:
        """Admit the checked jobs of a batch; returns its id.

        If one cannot be queued now, those before it are withdrawn, and its error is raised.
        """
        batch_id = _batch_id(caller)
        # A batch that skips lines is another one than that which is refused for them.
        skips = b"" if on_invalid is OnInvalid.REFUSE else b"\nskip"
        self.batches.begin(
            batch_id,
            owner=caller.owner,
            endpoint=ENDPOINT,
            fingerprint=hashlib.sha256(content + skips).hexdigest(),
            total=sum(isinstance(each, CheckedJob) for each in checked.values()),
            invalid=sum(isinstance(each, LineError) for each in checked.values()),
            ttl_s=self.settings.result_ttl_s,
        )
        if self.batches.batch(batch_id).admitted_at is not None:
            return batch_id
        lines: list[BatchLine] = []
        try:
            for number, (custom_id, job) in enumerate(checked.items()):
                if isinstance(job, LineError):
                    said = f"line {job.line}: {job.message}"
                    lines.append(BatchLine(custom_id=custom_id, error=said, error_code=job.code))
                    continue
                # A client that sends the batch again after a lost answer gets these jobs.
                once = caller.once(f"batch:{batch_id}/{number}")
                admitted = self.jobs.admit(job, once, batch=batch_id)
                lines.append(BatchLine(custom_id=custom_id, job_id=admitted.id))
            self.batches.admitted(batch_id, lines)
        except (Busy, Unavailable, InvalidRequest) as error:
            accepted = [line.job_id for line in lines if line.job_id]
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


def _read(raw: bytes) -> RequestLine:
    check_json(raw)
    try:
        return RequestLine.model_validate_json(raw, strict=True)
    except ValidationError as error:
        problem = errors.first_field_error(error.errors())
        raise InvalidRequest(problem.message, param=problem.param) from None


def _custom_id(raw: bytes) -> str | None:
    """The `custom_id` of a wrong line, if it has one."""
    try:
        line = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    name = line.get("custom_id") if isinstance(line, dict) else None
    return name if isinstance(name, str) and 0 < len(name) <= MAX_CUSTOM_ID_CHARS else None


def _batch_id(caller: Caller) -> str:
    """A new id; with an idempotency key, one that follows from the key."""
    if caller.idempotency_key is None:
        return f"{BATCH_PREFIX}{uuid.uuid4().hex}"
    name = f"{caller.owner}:{caller.idempotency_key}"
    return BATCH_PREFIX + hashlib.sha256(name.encode()).hexdigest()[:32]
