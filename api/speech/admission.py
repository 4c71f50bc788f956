"""From a request for speech to a live job, admitted as every job is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from api.auth import Caller
from api.jobs import admission, submission
from api.jobs.admission import CheckedJob
from api.jobs.model_selection import select_model
from api.jobs.requests import CustomVoice, JobRequest, Reference, VoiceClone, VoiceDesign
from api.services import Services
from api.speech.openai_aliases import is_any_model, voice_of
from api.speech.requests import SpeechRequest, TaskType
from api.voices import service as voices
from api.voices.presets import is_preset
from shared.errors import FetchFailed, InvalidRequest, ModelNotFound, Unavailable, VoiceNotFound
from shared.jobs import Job, Sampling, Task
from shared.models import ModelCard, full_name
from shared.store.voices import VOICE_PREFIX
from shared.store.workers import ServedModel

# What a job's fields are called here.
NAMES = {"task": "task_type", "reference.audio": "ref_audio"}


def admit(asked: SpeechRequest, services: Services, caller: Caller) -> Job:
    """Admit the job of a request; raises as `check` and `admission.admit` do."""
    return admission.admit(check(asked, services, caller), services, caller)


def check(asked: SpeechRequest, services: Services, caller: Caller) -> CheckedJob:
    """The job of a request, checked; raises as `admission.check` does.

    Beyond that, `ModelNotFound` if nothing of that name is served, and `Unavailable` if no worker
    that serves it lives: nobody wants to listen until one does.
    """
    most = services.settings.max_speech_chars
    if len(asked.input) > most:
        raise InvalidRequest(
            f"the input has {len(asked.input):,} characters; the most that is spoken at once is "
            f"{most:,} (TTS_MAX_SPEECH_CHARS): send longer texts to /v1/jobs",
            param="input",
        )
    served = services.roster.models()
    try:
        meant = _with_saved_voice(asked, served, services, caller)
        sent = submission.from_json(job_request(meant, served), most)
        checked = admission.check(replace(sent, live=asked), services, served, caller)
    except (InvalidRequest, FetchFailed) as error:
        param = NAMES.get(error.param or "", error.param)
        raise type(error)(error.message, param=param) from error
    if not any(model.workers for model in served if model.card.id == checked.spec.model):
        raise Unavailable(f"no worker of {checked.spec.model} is running; try again shortly")
    return checked


def _with_saved_voice(
    asked: SpeechRequest, served: list[ServedModel], services: Services, caller: Caller
) -> SpeechRequest:
    """The same, with the id of the caller's own voice where it is one that was named."""
    if asked.voice is None or asked.ref_audio is not None or is_preset(asked.voice, served):
        return asked
    try:
        own = voices.find(asked.voice, services, caller)
    except VoiceNotFound:
        return asked
    task_type = asked.task_type or TaskType.BASE
    return asked.model_copy(update={"voice": own.id, "task_type": task_type})


def job_request(asked: SpeechRequest, served: list[ServedModel]) -> JobRequest:
    """The job that is meant: the first that a served model can do.

    Raises `InvalidRequest` with what the first model lacks, `ModelNotFound` or `Unavailable`.
    """
    refusals = []
    for meant in _meanings(asked, served):
        try:
            request = _request(asked, *meant)
            select_model(request, served)
        except InvalidRequest as error:
            refusals.append(error)
        else:
            return request
    raise refusals[0]


def _meanings(
    asked: SpeechRequest, served: list[ServedModel]
) -> Iterator[tuple[Task, ModelCard, str | None]]:
    """What it can mean: a task, a model and instructions, the best first."""
    cards = _named(asked, served)
    task = _task(asked, cards)
    cards = [card for card in cards if card.task == task] or cards
    alive = {model.card.id for model in served if model.workers}
    cards = [card for card in cards if card.id in alive] or cards
    for card in cards:
        yield task, card, asked.instructions or None
    # Clients of OpenAI's models send them always; whoever names another one knows it.
    if asked.model is not None and is_any_model(asked.model) and task != Task.VOICE_DESIGN:
        for card in cards:
            yield task, card, None


def _named(asked: SpeechRequest, served: list[ServedModel]) -> list[ModelCard]:
    if not served:
        raise Unavailable("no worker has started yet; start one with `python -m worker`")
    cards = [model.card for model in served]
    if asked.model is None or is_any_model(asked.model):
        return cards
    wanted = {asked.model.lower(), full_name(asked.model).lower()}
    named = [card for card in cards if card.id.lower() in wanted]
    if not named:
        names = ", ".join(sorted(card.id for card in cards))
        raise ModelNotFound(
            f"no worker serves {asked.model[:100]!r}; served here: {names}", param="model"
        )
    return named


def _task(asked: SpeechRequest, cards: list[ModelCard]) -> Task:
    """The task that was named, else the one that the fields or the models are for."""
    if asked.task_type is not None:
        return asked.task_type.task
    if asked.ref_audio is not None:
        return Task.VOICE_CLONE
    return next(task for task in Task if task in {card.task for card in cards})


def _request(
    asked: SpeechRequest, task: Task, card: ModelCard, instructions: str | None
) -> JobRequest:
    """The request for one model; a job is stored as WAV, whatever is heard of it."""
    common: dict[str, Any] = {
        "input": asked.input,
        "model": card.id,
        "language": asked.language,
        "seed": asked.seed,
        "sampling": Sampling(max_new_tokens=asked.max_new_tokens),
    }
    if task != Task.VOICE_CLONE and asked.ref_audio is not None:
        raise InvalidRequest("ref_audio goes with task_type Base", param="ref_audio")
    match task:
        case Task.VOICE_CLONE:
            if instructions is not None:
                raise InvalidRequest(f"{card.id} follows no instructions", param="instructions")
            if asked.ref_audio is None and (asked.voice or "").startswith(VOICE_PREFIX):
                return VoiceClone(task="voice_clone", voice=asked.voice, **common)
            return VoiceClone(task="voice_clone", reference=_reference(asked), **common)
        case Task.VOICE_DESIGN:
            if instructions is None:
                raise InvalidRequest("say in instructions who speaks", param="instructions")
            return VoiceDesign(task="voice_design", instructions=instructions, **common)
        case Task.CUSTOM_VOICE:
            if asked.voice is None:
                raise InvalidRequest(f"which voice? {', '.join(card.voices)}", param="voice")
            voice = voice_of(card, asked.voice)
            return CustomVoice(
                task="custom_voice", voice=voice, instructions=instructions, **common
            )


def _reference(asked: SpeechRequest) -> Reference:
    if asked.ref_audio is None:
        raise InvalidRequest(
            "send the voice to clone as ref_audio, or name an uploaded one", param="ref_audio"
        )
    text = None if asked.x_vector_only_mode else asked.ref_text
    return Reference(audio=asked.ref_audio, text=text or None)
