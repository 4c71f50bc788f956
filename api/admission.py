"""From a request to an admitted job: every check that needs more than the request itself."""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from api import reference
from api.deps import Services
from api.schemas import CustomVoice, JobRequest, VoiceClone
from shared import text
from shared.errors import InvalidRequest, Unavailable
from shared.jobs import SpeechSpec, segment_id
from shared.models import ModelCard, full_name
from shared.queue import announce
from shared.roster import ServedModel


def submit(request: JobRequest, services: Services) -> str:
    """Check, admit and announce a job; returns its id.

    Raises `InvalidRequest` before anything is queued, `Unavailable` if it cannot be queued now.
    """
    card = _choose_model(request, services.roster.models())
    texts = _segments(request, services)
    spec = SpeechSpec(
        task=card.task,
        model=card.id,
        language=_listed(request.language, card.languages, "language", card),
        voice=_listed(request.voice, card.voices, "voice", card)
        if isinstance(request, CustomVoice)
        else None,
        instructions=_instructions(request, card),
        reference=reference.store(request.reference, services)
        if isinstance(request, VoiceClone)
        else None,
        seed=request.seed,
        sampling=request.sampling,
        metadata=request.metadata,
    )
    job_id = f"job_{uuid.uuid4().hex}"
    services.ledger.admit(job_id, spec, texts)
    announce(services.celery, ((segment_id(job_id, i), card.id) for i in range(len(texts))))
    return job_id


def _choose_model(request: JobRequest, served: list[ServedModel]) -> ModelCard:
    """The named model, or the first that can do the task."""
    if not served:
        raise Unavailable("no worker has started yet; start one with `python -m worker`")
    able = [model.card for model in served if model.card.task == request.task]
    if request.model is not None:
        return _named(full_name(request.model), request, [model.card for model in served])
    if not able:
        raise InvalidRequest(
            f"no worker serves {request.task}; served here: {_list(m.card.task for m in served)}",
            param="task",
        )
    return able[0]


def _named(name: str, request: JobRequest, cards: list[ModelCard]) -> ModelCard:
    for card in cards:
        if card.id.lower() == name.lower():
            if card.task != request.task:
                raise InvalidRequest(f"{card.id} does {card.task} only", param="task")
            return card
    raise InvalidRequest(
        f"no worker serves {request.model!r}; served here: {_list(c.id for c in cards)}",
        param="model",
    )


def _segments(request: JobRequest, services: Services) -> list[str]:
    limit = services.settings.max_input_chars
    if len(request.input) > limit:
        raise InvalidRequest(
            f"the input has {len(request.input):,} characters; the most is {limit:,}", param="input"
        )
    normal = text.normalise(request.input)
    if not any(char.isalnum() for char in normal):
        raise InvalidRequest("the input has nothing to speak in it", param="input")
    return text.split(normal, request.language.lower(), services.settings.max_segment_chars)


def _listed(value: str, allowed: tuple[str, ...], field: str, card: ModelCard) -> str:
    if value.lower() not in allowed:
        raise InvalidRequest(
            f"{card.id} has no {field} {value!r}; it has: {_list(allowed)}", param=field
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
