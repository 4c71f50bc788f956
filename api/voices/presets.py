"""The models' own voices, and what Qwen3-TTS's documentation says of the released ones."""

from __future__ import annotations

from typing import NamedTuple

from api.voices.responses import VoiceObject
from shared.store.voices import comparable
from shared.store.workers import ServedModel


class PresetVoice(NamedTuple):
    """The native language of a released voice, and its description."""

    language: str
    description: str


# From the table of speakers in https://github.com/QwenLM/Qwen3-TTS (custom voice models).
RELEASED_VOICES = {
    "vivian": PresetVoice("chinese", "A bright young woman with a slight edge"),
    "serena": PresetVoice("chinese", "A young woman, warm and gentle"),
    "uncle_fu": PresetVoice("chinese", "An experienced man, low and mellow"),
    "dylan": PresetVoice("chinese", "A young man of Beijing, clear and natural, in its dialect"),
    "eric": PresetVoice("chinese", "A lively man of Chengdu, a little husky, in Sichuan's dialect"),
    "ryan": PresetVoice("english", "A dynamic man with a strong rhythm"),
    "aiden": PresetVoice("english", "A sunny American man with clear middle tones"),
    "ono_anna": PresetVoice("japanese", "A playful woman, light and nimble"),
    "sohee": PresetVoice("korean", "A warm woman, rich in emotion"),
}


def presets(served: list[ServedModel]) -> list[VoiceObject]:
    """The voices of the served models, each once, sorted by name."""
    models: dict[str, list[str]] = {}
    for each in served:
        for voice in each.card.voices:
            models.setdefault(voice, []).append(each.card.id)
    return [_preset(voice, models[voice]) for voice in sorted(models)]


def preset_id(name: str) -> str:
    """The id of a model's voice for a name as it is shown: `ono_anna` for ` Ono Anna`."""
    return comparable(name).strip().replace(" ", "_")


def is_preset(name: str, served: list[ServedModel]) -> bool:
    """True if a name is that of a released voice, or of a voice of a served model."""
    known = preset_id(name)
    return known in RELEASED_VOICES or any(known in each.card.voices for each in served)


def _preset(voice: str, models: list[str]) -> VoiceObject:
    language, description = RELEASED_VOICES.get(voice, (None, None))
    return VoiceObject(
        id=voice,
        name=voice.replace("_", " ").title(),
        kind="preset",
        model=models[0],
        models=models,
        language=language,
        description=description,
    )
