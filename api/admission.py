"""From a request to an admitted job: every check that needs more than the request itself."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable
from contextlib import suppress

from api import reference
from api.deps import Services
from api.schemas import CustomVoice, JobRequest, VoiceClone
from api.sender import Sender
from shared import text
from shared.document import Segment
from shared.errors import Busy, InvalidRequest, KeyReused, Unavailable
from shared.jobs import SpeechSpec, job_folder
from shared.limits import Idempotency, Limits
from shared.models import ModelCard, full_name
from shared.roster import ServedModel


def submit(request: JobRequest, services: Services, sender: Sender) -> str:
    """Check and admit a job; returns its id, which is that of before if it was sent before.

    Raises `InvalidRequest` before anything is queued, `Busy` or `Unavailable` if it cannot be
    queued now.
    """
    settings = services.settings
    spec = _fit(request, _candidates(request, services.roster.models()))
    segments = _segments(request, services)
    job_id = f"job_{uuid.uuid4().hex}"
    if isinstance(request, VoiceClone):
        # First, since a worker may need it at once.
        stored = reference.store(request.reference, job_folder(job_id), services)
        spec = spec.model_copy(update={"reference": stored})
    try:
        accepted = services.ledger.admit(
            job_id,
            spec,
            segments,
            owner=sender.owner,
            limits=Limits(
                settings.max_open_segments, settings.max_open_jobs, settings.max_open_chars
            ),
            idempotency=_idempotency(request, sender),
        )
    except (Busy, KeyReused, InvalidRequest):
        _discard(job_id, services)
        raise
    if accepted != job_id:
        _discard(job_id, services)
    return accepted


def _discard(job_id: str, services: Services) -> None:
    """Remove the files of a job that was not admitted; a file too many does no harm."""
    with suppress(Unavailable):
        services.storage.delete_folder(job_folder(job_id))


def _idempotency(request: JobRequest, sender: Sender) -> Idempotency | None:
    if sender.idempotency_key is None:
        return None
    body = hashlib.sha256(request.model_dump_json().encode()).hexdigest()
    return Idempotency(sender.idempotency_key, body)


def _candidates(request: JobRequest, served: list[ServedModel]) -> list[ModelCard]:
    """The named model, or all that can do the task, those with live workers first."""
    if not served:
        raise Unavailable("no worker has started yet; start one with `python -m worker`")
    cards = [model.card for model in served]
    if request.model is not None:
        wanted = {request.model.lower(), full_name(request.model).lower()}
        cards = [card for card in cards if card.id.lower() in wanted]
        if not cards:
            names = _list(model.card.id for model in served)
            raise InvalidRequest(
                f"no worker serves {request.model[:100]!r}; served here: {names}", param="model"
            )
    able = [card for card in cards if card.task == request.task]
    if not able:
        tasks = _list(card.task for card in cards)
        whose = cards[0].id if request.model is not None else "the models served here"
        raise InvalidRequest(f"{request.task} is not what {whose} can do: {tasks}", param="task")
    return able


def _fit(request: JobRequest, cards: list[ModelCard]) -> SpeechSpec:
    """The job for the first model that can do all that is asked; else what the first one lacks."""
    refusals = []
    for card in cards:
        try:
            return _spec(request, card)
        except InvalidRequest as error:
            refusals.append(error)
    raise refusals[0]


def _spec(request: JobRequest, card: ModelCard) -> SpeechSpec:
    voice = request.voice if isinstance(request, CustomVoice) else None
    return SpeechSpec(
        task=card.task,
        model=card.id,
        language=_listed(request.language, card.languages, "language", card),
        voice=voice and _listed(voice, card.voices, "voice", card),
        instructions=_instructions(request, card),
        seed=request.seed,
        sampling=request.sampling,
        metadata=request.metadata,
    )


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


def _listed(value: str, allowed: tuple[str, ...], field: str, card: ModelCard) -> str:
    if value.lower() not in allowed:
        raise InvalidRequest(
            f"{card.id} has no {field} {value[:100]!r}; it has: {_list(allowed)}", param=field
        )
    return value.lower()


def _instructions(request: JobRequest, card: ModelCard) -> str | None:
    if isinstance(request, VoiceClone):
        return None
    if request.instructions is not None and not card.instructions:
        raise InvalidRequest(
            f"{card.id} does not follow instructions: leave them out or use 1.7B-CustomVoice",
            param="instructions",
        )
    return request.instructions


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(set(names)))
