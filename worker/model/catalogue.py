"""The checkpoint of a model's name, and the card of a loaded model."""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path

from shared.models import DEMO_MODEL, TINY_MODELS, ModelCard, full_name, is_folder, model_id
from shared.speech_model import Task
from worker.checkpoints import make_checkpoint
from worker.engine.qwen import Qwen3TTSModel
from worker.model import demo_voice

_TASKS_BY_KIND = {
    "custom_voice": Task.CUSTOM_VOICE,
    "voice_design": Task.VOICE_DESIGN,
    "base": Task.VOICE_CLONE,
}
_KINDS_BY_SUFFIX = {"CustomVoice": "custom_voice", "VoiceDesign": "voice_design", "Base": "base"}


def locate(name: str) -> str:
    """The checkpoint of a model's name: a folder or a hub id.

    `demo` is part of the package, and unpacked on its first use; the tiny models (random weights,
    for tests) are made on theirs. Raises `ModelUnavailable` if the package has no demo voice.
    """
    source = full_name(name)
    if source == DEMO_MODEL and not is_folder(source):
        return str(demo_voice.unpack(cache_folder()))
    if source in TINY_MODELS and not is_folder(source):
        folder = cache_folder() / source
        kind = _KINDS_BY_SUFFIX[source.removeprefix("tiny-")]
        return str(folder if folder.exists() else make_checkpoint("tiny", kind, folder))
    return str(Path(source).expanduser().absolute()) if is_folder(source) else source


def cache_folder() -> Path:
    """The folder of generated checkpoints: under `XDG_CACHE_HOME`, one for each version."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "qwen-tts-queue" / version("qwen-tts-queue") / "checkpoints"


def card_of(name: str, model: Qwen3TTSModel, weights: str = "") -> ModelCard:
    """The card of a loaded model of these weights, under the id that `name` is served as."""
    config = model.model
    task = _TASKS_BY_KIND[config.tts_model_type]
    # qwen-tts drops the instructions of the 0.6B custom voice model without a word; the demo voice
    # was trained without any.
    is_small = config.tts_model_size == "0b6" or model_id(name) == DEMO_MODEL
    ignores_instructions = task == Task.CUSTOM_VOICE and is_small
    return ModelCard(
        id=model_id(name),
        task=task,
        size={"0b6": "0.6B", "1b7": "1.7B"}.get(config.tts_model_size, config.tts_model_size),
        voices=tuple(sorted(model.get_supported_speakers() or ())),
        languages=tuple(model.get_supported_languages() or ("auto",)),
        instructions=task != Task.VOICE_CLONE and not ignores_instructions,
        weights=weights,
    )
