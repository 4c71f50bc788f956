"""Other names of models and voices: OpenAI's, and those of the settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from api.jobs.requests import CustomVoice, JobRequest
from api.voices.presets import preset_id
from shared.errors import InvalidRequest, ModelNotFound
from shared.models import full_name
from shared.settings import Settings
from shared.store.workers import ServedModel

# `tts-1`, `tts-1-hd-1106`, `gpt-4o-mini-tts-2025-12-15`, `openai/tts-1`; not `tts-1.7B`.
_OPENAI_MODEL = re.compile(r"(?:openai/)?(?:tts-1|gpt-4o(?:-[a-z]+)*-tts)(?:-[a-z0-9-]+)?", re.I)
# The alias of every name that nothing else has.
ANY_NAME = "*"


def is_openai_model(name: str | None) -> bool:
    """True of a name of OpenAI's, which stands for any served model that can do the task."""
    return name is not None and _OPENAI_MODEL.fullmatch(name.strip()) is not None


def is_served(name: str, served: list[ServedModel]) -> bool:
    """True if a served model has that id or short name."""
    wanted = {name.lower(), full_name(name).lower()}
    return any(model.card.id.lower() in wanted for model in served)


def has_voice(name: str, served: list[ServedModel]) -> bool:
    """True if a served model has a voice of that name."""
    return any(preset_id(name) in model.card.voices for model in served)


@dataclass(frozen=True)
class Aliases:
    """The names of `TTS_MODEL_ALIASES` and `TTS_VOICE_ALIASES`, and what each stands for.

    A name that is served is never an alias. `*` stands for every name that is not known.
    """

    models: Mapping[str, str]
    voices: Mapping[str, str]

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The aliases of the settings."""
        return cls(
            {name.lower(): target for name, target in settings.model_alias_table.items()},
            {preset_id(name): target for name, target in settings.voice_alias_table.items()},
        )

    def model(self, name: str | None, served: list[ServedModel]) -> str | None:
        """The model that a name stands for, perhaps one of OpenAI's names; None for any.

        An unknown name stays. Raises `ModelNotFound` if what it stands for is not served.
        """
        name = (name or "").strip()
        if not name or not served or is_served(name, served):
            return name or None
        target = self.models.get(name.lower())
        if target is None and not is_openai_model(name):
            target = self.models.get(ANY_NAME)
        if target is None:
            return name
        if not is_openai_model(target) and not is_served(target, served):
            names = ", ".join(sorted(model.card.id for model in served))
            raise ModelNotFound(
                f"no worker serves {target!r}, which TTS_MODEL_ALIASES has for {name[:100]!r}; "
                f"served here: {names}",
                param="model",
            )
        return target

    def voice(self, name: str) -> str | None:
        """The voice that a name stands for by an alias of its own."""
        return self.voices.get(preset_id(name))

    def unknown_voice(self) -> str | None:
        """The voice that every unknown name stands for."""
        return self.voices.get(ANY_NAME)

    def apply(self, request: JobRequest, served: list[ServedModel]) -> JobRequest:
        """The request under the names of what is served.

        Raises `InvalidRequest` if what a name stands for is not served.
        """
        try:
            model = self.model(request.model, served)
        except ModelNotFound as error:
            raise InvalidRequest(error.message, param=error.param) from None
        is_alias = request.model is not None and model != request.model
        changes: dict[str, str | None] = {}
        if model != request.model:
            changes["model"] = None if is_alias and is_openai_model(model) else model
        if isinstance(request, CustomVoice) and not has_voice(request.voice, served):
            target = self.voice(request.voice) or self.unknown_voice()
            if target is not None and not has_voice(target, served):
                raise no_target(request.voice, target)
            if target is not None:
                changes["voice"] = target
        return request.model_copy(update=changes) if changes else request


def no_target(name: str, target: str) -> InvalidRequest:
    """The error of an alias whose voice is not there."""
    return InvalidRequest(
        f"there is no voice {target[:100]!r} here, which TTS_VOICE_ALIASES has for {name[:100]!r}; "
        "GET /v1/audio/voices lists all",
        param="voice",
    )
