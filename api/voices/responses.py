"""The voice objects of the HTTP API."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from shared.speech_model import Task
from shared.store.voices import Voice, VoiceWarning
from shared.store.workers import ServedModel


class VoiceObject(BaseModel):
    """A voice: one of the models' own (`preset`), or one that you have uploaded (`cloned`).

    From `created_at` on, all is null of a preset. Times in Unix seconds.
    """

    id: str
    object: Literal["audio.voice"] = "audio.voice"
    name: str
    kind: Literal["preset", "cloned"]
    model: str | None = Field(description="The first of `models`.")
    models: list[str] = Field(description="Those served here that speak with it.")
    language: str | None
    description: str | None
    created_at: int | None = None
    duration_s: float | None = None
    ref_text: str | None = None
    consent: str | None = None
    warnings: list[VoiceWarning] | None = Field(
        default=None, description="Weaknesses of the recording that may make the voice worse."
    )

    @classmethod
    def of(cls, voice: Voice, served: list[ServedModel]) -> VoiceObject:
        """The public view of a saved voice."""
        models = [each.card.id for each in served if each.card.task == Task.VOICE_CLONE]
        return cls(
            id=voice.id,
            name=voice.name,
            kind="cloned",
            model=models[0] if models else None,
            models=models,
            language=voice.language,
            description=voice.description,
            created_at=int(voice.created_at),
            duration_s=voice.duration_s,
            ref_text=voice.ref_text,
            consent=voice.consent,
            warnings=list(voice.warnings),
        )


class VoiceList(BaseModel):
    """The voices, as `voices` and again as `data`: clients read one or the other."""

    object: Literal["list"] = "list"
    voices: list[VoiceObject]
    data: list[VoiceObject]


class VoiceNames(BaseModel):
    """The voices as texts, as `voices` and again as `data`: ids of presets, names of your own."""

    object: Literal["list"] = "list"
    voices: list[str]
    data: list[str]


class VoiceDeleted(BaseModel):
    """The confirmation that a voice is deleted."""

    id: str
    object: Literal["audio.voice.deleted"] = "audio.voice.deleted"
    deleted: Literal[True] = True
