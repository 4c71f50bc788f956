"""The admission of `POST /v1/audio/speech`: from a request to a live job."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from api.auth.caller import Caller
from api.jobs import submission
from api.jobs.admission import CheckedJob, JobAdmission
from api.jobs.aliases import Aliases, has_voice, is_openai_model, no_target
from api.jobs.model_selection import cards_of, select_model
from api.jobs.requests import CustomVoice, JobRequest, Reference, VoiceClone, VoiceDesign
from api.speech.requests import SpeechRequest, TaskType
from api.voices import lookup
from api.voices.presets import is_preset, preset_id
from shared.errors import (
    FetchFailed,
    InvalidRequest,
    NothingToSpeak,
    Unavailable,
    VoiceNotFound,
)
from shared.jobs import Job, Sampling
from shared.models import ModelCard
from shared.speech_model import Task
from shared.store.voices import VOICE_PREFIX, Voices
from shared.store.workers import ServedModel, WorkerRegistry

# The names that a job's fields have in a speech request.
FIELD_NAMES = {"task": "task_type", "reference.audio": "ref_audio"}
# The name of the voice that is meant where none is named, and which of OpenAI's it is.
DEFAULT_VOICE, DEFAULT_OPENAI_VOICE = "default", "alloy"
# OpenAI's voices, and the released speaker that stands for each.
OPENAI_VOICES = {
    "alloy": "vivian",
    "ash": "aiden",
    "ballad": "dylan",
    "coral": "serena",
    "echo": "ryan",
    "fable": "eric",
    "onyx": "uncle_fu",
    "nova": "vivian",
    "sage": "serena",
    "shimmer": "ono_anna",
    "verse": "ryan",
    "marin": "sohee",
    "cedar": "aiden",
}
_OPENAI_VOICE_ORDER = tuple(OPENAI_VOICES)


@dataclass(frozen=True)
class SpeechAdmission:
    """Checks speech requests, and admits their jobs."""

    max_chars: int
    registry: WorkerRegistry
    voices: Voices
    jobs: JobAdmission
    aliases: Aliases

    def admit(self, asked: SpeechRequest, caller: Caller) -> Job:
        """Admit the job of a request; raises as `check` and `JobAdmission.admit` do."""
        return self.jobs.admit(self.check(asked, caller), caller)

    def check_words(self, asked: SpeechRequest, caller: Caller) -> CheckedJob | None:
        """The job of a request, checked; None if its text has nothing to speak.

        Voice pipelines send such texts (`…`, an emoji), and programs that only try a key. All else
        of the request is checked. Raises as `check` does.
        """
        try:
            return self.check(asked, caller)
        except NothingToSpeak:
            return None

    def check(self, asked: SpeechRequest, caller: Caller) -> CheckedJob:
        """The job of a request, checked; raises as `JobAdmission.check` does.

        Beyond that, raises `ModelNotFound` if no such model is served, and `Unavailable` if no
        worker of it is alive: a client that listens must not wait for a worker to start.
        """
        if len(asked.input) > self.max_chars:
            raise InvalidRequest(
                f"the input has {len(asked.input):,} characters; the most that is spoken at once "
                f"is {self.max_chars:,} (TTS_MAX_SPEECH_CHARS): send longer texts to /v1/jobs",
                param="input",
            )
        served = self.registry.models()
        try:
            resolved = self._with_known_names(asked, served, caller)
            sent = submission.from_json(job_request(resolved, served), self.max_chars)
            checked = self.jobs.check(replace(sent, live=asked), caller, served)
        except (InvalidRequest, FetchFailed) as error:
            param = FIELD_NAMES.get(error.param or "", error.param)
            raise type(error)(error.message, param=param) from error
        if not any(model.workers for model in served if model.card.id == checked.spec.model):
            raise Unavailable(f"no worker of {checked.spec.model} is running; try again shortly")
        return checked

    def _with_known_names(
        self, asked: SpeechRequest, served: list[ServedModel], caller: Caller
    ) -> SpeechRequest:
        """The request with aliases replaced, and with the id of a saved voice for its name."""
        asked = asked.model_copy(update={"model": self.aliases.model(asked.model, served)})
        if asked.ref_audio is not None:
            return asked
        name = (asked.voice or "").strip()
        if not name or name.lower() == DEFAULT_VOICE:
            name = self.aliases.voice(DEFAULT_VOICE) or ""
        if not name:
            return asked.model_copy(update={"voice": None})
        found = self._with_voice(asked, name, served, caller)
        if found is not None:
            return found
        target = self.aliases.voice(name)
        if target is None and preset_id(name) not in OPENAI_VOICES:
            target = self.aliases.unknown_voice()
        if target is None:
            return asked.model_copy(update={"voice": name})
        found = self._with_voice(asked, target, served, caller)
        if found is None:
            raise no_target(name, target)
        return found

    def _with_voice(
        self, asked: SpeechRequest, name: str, served: list[ServedModel], caller: Caller
    ) -> SpeechRequest | None:
        """The request with the voice of that name: a model's or a saved one; None without one."""
        if has_voice(name, served):
            return asked.model_copy(update={"voice": preset_id(name)})
        if is_preset(name, served):
            return None  # one of a released model that is not served: no saved voice has its name
        try:
            own = lookup.find(name, self.voices, caller)
        except VoiceNotFound:
            return None
        task_type = asked.task_type or TaskType.BASE
        return asked.model_copy(update={"voice": own.id, "task_type": task_type})


def job_request(asked: SpeechRequest, served: list[ServedModel]) -> JobRequest:
    """The job request of the first interpretation that a served model can do.

    Raises the first interpretation's `InvalidRequest`, `ModelNotFound` or `Unavailable`.
    """
    refusals = []
    for interpretation in _interpretations(asked, served):
        try:
            request = _request(asked, *interpretation)
            select_model(request, served)
        except InvalidRequest as error:
            refusals.append(error)
        else:
            return request
    raise refusals[0]


def _interpretations(
    asked: SpeechRequest, served: list[ServedModel]
) -> Iterator[tuple[Task, ModelCard, str | None]]:
    """The interpretations of a request: task, model and instructions, the best first.

    Example: `tts-1` with instructions, where a 0.6B and a 1.7B model are served: 0.6B with them,
    1.7B with them, then both without them.
    """
    # An alias leaves the choice of the model to the server.
    is_alias = is_openai_model(asked.model)
    cards = cards_of(served, None if is_alias else asked.model)
    task = _task(asked, cards)
    cards = [card for card in cards if card.task == task] or cards
    if task == Task.CUSTOM_VOICE and asked.voice is not None:
        voice = preset_id(asked.voice)
        cards = [card for card in cards if voice in card.voices] or cards
    alive = {model.card.id for model in served if model.workers}
    cards = [card for card in cards if card.id in alive] or cards
    for card in cards:
        yield task, card, asked.instructions or None
    # OpenAI's clients always send instructions: for an alias they may be left out.
    if is_alias and task != Task.VOICE_DESIGN:
        for card in cards:
            yield task, card, None


def _task(asked: SpeechRequest, cards: list[ModelCard]) -> Task:
    """The task that the request names, else that of its fields, else that of the models."""
    if asked.task_type is not None:
        return asked.task_type.task
    if asked.ref_audio is not None:
        return Task.VOICE_CLONE
    return next(task for task in Task if task in {card.task for card in cards})


def _request(
    asked: SpeechRequest, task: Task, card: ModelCard, instructions: str | None
) -> JobRequest:
    """The request for one model; the job is stored as WAV, whatever format is streamed."""
    common: dict[str, Any] = {
        "input": asked.input,
        "model": card.id,
        "language": asked.language,
        "normalise": asked.normalise,
        "seed": asked.seed,
        "sampling": Sampling(
            top_k=asked.top_k,
            top_p=asked.top_p,
            temperature=asked.temperature,
            repetition_penalty=asked.repetition_penalty,
            max_new_tokens=asked.max_new_tokens,
        ),
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
            voice = voice_of(card, asked.voice or DEFAULT_OPENAI_VOICE)
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


def voice_of(card: ModelCard, name: str) -> str:
    """The voice of a model for a name: its own voice, else the one for OpenAI's alias.

    If the model lacks the released speaker, the alias's position picks one of the model's voices:
    `ash`, the second of 13, is the second voice. Any other name is returned as it is, to be refused
    where voices are checked.
    """
    known = preset_id(name)
    if known in card.voices or known not in OPENAI_VOICES or not card.voices:
        return name
    if OPENAI_VOICES[known] in card.voices:
        return OPENAI_VOICES[known]
    return card.voices[_OPENAI_VOICE_ORDER.index(known) % len(card.voices)]
