"""The choice of the served model for a request, and the job's `SpeechSpec`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from api.jobs.requests import CustomVoice, JobRequest, VoiceClone
from api.voices.presets import preset_id
from shared.errors import InvalidRequest, ModelNotFound, Unavailable
from shared.jobs import SpeechSpec
from shared.models import ModelCard, full_name
from shared.store.workers import ServedModel


def select_model(request: JobRequest, served: list[ServedModel]) -> SpeechSpec:
    """The job for the first model that can do all that is asked; a reference is not in it yet.

    Raises `InvalidRequest` with what the first one lacks, or `Unavailable` if nothing is served.
    """
    refusals = []
    for card in _candidates(request, served):
        try:
            return _spec(request, card)
        except InvalidRequest as error:
            refusals.append(error)
    raise refusals[0]


def cards_of(served: list[ServedModel], name: str | None) -> list[ModelCard]:
    """The cards of the served models, those with live workers first, or of the one called `name`.

    Raises `ModelNotFound` if there is none of that name, and `Unavailable` if nothing is served.
    """
    if not served:
        raise Unavailable(
            "no worker is ready yet: wait if one is still loading its model, or start one with"
            " `python -m worker`"
        )
    cards = [model.card for model in served]
    if name is None:
        return cards
    wanted = {name.lower(), full_name(name).lower()}
    named = [card for card in cards if card.id.lower() in wanted]
    if not named:
        names = _list(card.id for card in cards)
        raise ModelNotFound(f"no worker serves {name[:100]!r}; served here: {names}", param="model")
    return named


def _candidates(request: JobRequest, served: list[ServedModel]) -> list[ModelCard]:
    """The named model, or all that can do the task, those with live workers first."""
    try:
        cards = cards_of(served, request.model)
    except ModelNotFound as error:
        raise InvalidRequest(error.message, param=error.param) from None
    able = [card for card in cards if card.task == request.task]
    if not able:
        tasks = _list(card.task for card in cards)
        whose = cards[0].id if request.model is not None else "the models served here"
        raise InvalidRequest(f"{request.task} is not what {whose} can do: {tasks}", param="task")
    return able


def _spec(request: JobRequest, card: ModelCard) -> SpeechSpec:
    voice = request.voice if isinstance(request, CustomVoice) else None
    return SpeechSpec(
        task=card.task,
        model=card.id,
        language=_listed(request.language.lower(), request.language, "language", card),
        voice=None if voice is None else _listed(preset_id(voice), voice, "voice", card),
        instructions=_instructions(request, card),
        seed=request.seed,
        sampling=request.sampling,
        response_format=request.response_format,
        chapter_files=request.chapter_files,
        metadata=request.metadata,
    )


def _listed(value: str, sent: str, field: Literal["language", "voice"], card: ModelCard) -> str:
    """A language or voice that the model has; the error has it as it was sent."""
    allowed = card.languages if field == "language" else card.voices
    if value not in allowed:
        raise InvalidRequest(
            f"{card.id} has no {field} {sent[:100]!r}; it has: {_list(allowed)}"
            + (" (your own voices: task voice_clone)" if field == "voice" else ""),
            param=field,
        )
    return value


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
