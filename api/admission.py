"""From a request to an admitted job: every check that needs more than the request itself."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass

from api import reference
from api.deps import Services
from api.fitting import fit
from api.schemas import JobRequest, VoiceClone
from api.sender import Sender
from shared import text
from shared.document import Segment
from shared.errors import Busy, InvalidRequest, KeyReused, Unavailable
from shared.jobs import SpeechSpec, job_folder, new_job_id
from shared.limits import Idempotency, Limits
from shared.roster import ServedModel


@dataclass(frozen=True)
class CheckedJob:
    """A request that nothing is wrong with, as it would be spoken."""

    request: JobRequest
    spec: SpeechSpec
    segments: list[Segment]
    recording: bytes | None = None


def check(request: JobRequest, services: Services, served: list[ServedModel]) -> CheckedJob:
    """Check a request against what is served; raises `InvalidRequest` or `Unavailable`."""
    settings = services.settings
    spec, segments = fit(request, served), _segments(request, services)
    if not isinstance(request, VoiceClone):
        return CheckedJob(request, spec, segments)
    return CheckedJob(request, spec, segments, reference.read(request.reference, settings))


def admit(job: CheckedJob, services: Services, sender: Sender, *, batch: str | None = None) -> str:
    """Admit a job; returns its id, which is that of before if it was sent before.

    Raises `Busy` or `Unavailable` if it cannot be queued now.
    """
    settings = services.settings
    job_id = new_job_id()
    try:
        accepted = services.ledger.admit(
            job_id,
            _with_reference(job, job_id, services),
            job.segments,
            owner=sender.owner,
            limits=Limits(
                settings.max_open_segments, settings.max_open_jobs, settings.max_open_chars
            ),
            idempotency=_idempotency(job.request, sender),
            batch=batch,
        )
    except (Busy, KeyReused, InvalidRequest):
        _discard(job_id, services)
        raise
    if accepted != job_id:
        _discard(job_id, services)
    return accepted


def _with_reference(job: CheckedJob, job_id: str, services: Services) -> SpeechSpec:
    """Store the reference first, since a worker may need it at once."""
    if not isinstance(job.request, VoiceClone) or job.recording is None:
        return job.spec
    said, folder = job.request.reference.text, job_folder(job_id)
    stored = reference.store(job.recording, said, folder, services.storage)
    return job.spec.model_copy(update={"reference": stored})


def _discard(job_id: str, services: Services) -> None:
    """Remove the files of a job that was not admitted; a file too many does no harm."""
    with suppress(Unavailable):
        services.storage.delete_folder(job_folder(job_id))


def _idempotency(request: JobRequest, sender: Sender) -> Idempotency | None:
    if sender.idempotency_key is None:
        return None
    body = hashlib.sha256(request.model_dump_json().encode()).hexdigest()
    return Idempotency(sender.idempotency_key, body)


def _segments(request: JobRequest, services: Services) -> list[Segment]:
    settings = services.settings
    length, most = len(request.input), settings.max_input_chars
    if length > most:
        raise InvalidRequest(
            f"the input has {length:,} characters; the most is {most:,}", param="input"
        )
    normal = text.normalise(request.input)
    segments = text.split(normal, request.language.lower(), settings.max_segment_chars)
    if not segments:
        raise InvalidRequest("the input has nothing to speak in it", param="input")
    if len(segments) > settings.max_segments:
        raise InvalidRequest(
            f"the input falls into {len(segments):,} segments; the most is "
            f"{settings.max_segments:,}: send it in parts, or with fewer paragraphs",
            param="input",
        )
    return [Segment(segment, 0, 0) for segment in segments]
