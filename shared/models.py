"""Model names: released, demo, tiny and short ones, and the card of a served model."""

from __future__ import annotations

from pathlib import Path

from shared.records import Record
from shared.speech_model import Task

DEFAULT_MODEL = "Qwen/Qwen3-TTS-12Hz-0.6B-CustomVoice"
RELEASED_MODELS = tuple(
    f"Qwen/Qwen3-TTS-12Hz-{name}"
    for name in (
        "0.6B-CustomVoice",
        "0.6B-Base",
        "1.7B-CustomVoice",
        "1.7B-VoiceDesign",
        "1.7B-Base",
    )
)
TINY_MODELS = ("tiny-CustomVoice", "tiny-VoiceDesign", "tiny-Base")
DEMO_MODEL = "demo"  # a small English voice that is part of the package

_SHORT = {name.removeprefix("Qwen/Qwen3-TTS-12Hz-").lower(): name for name in RELEASED_MODELS}
_SHORT |= {name.lower(): name for name in TINY_MODELS} | {"tiny": TINY_MODELS[0]}
_SHORT[DEMO_MODEL] = DEMO_MODEL


def full_name(name: str) -> str:
    """The full id of a short name such as `1.7B-Base` or `tiny`; other names stay as they are."""
    return _SHORT.get(name.lower(), name)


def model_id(source: str) -> str:
    """The id under which a hub id or local folder is served: a folder goes by its own name."""
    name = full_name(source)
    return Path(name).expanduser().resolve().name if is_folder(name) else name


def is_folder(source: str) -> bool:
    """True if a model is named by a path rather than by an id."""
    return source.startswith(("/", "./", "../", "~")) or Path(source).expanduser().is_dir()


class Compute(Record):
    """A worker's arithmetic: its precision, and its products, which are the fastest that it timed.

    `int8_speedup` is how many times as fast int8 would speak there, as far as that was timed.
    """

    precision: str
    language_model: str
    codec: str
    int8_speedup: float | None = None


class ModelCard(Record):
    """A worker's description of its loaded model, for the API."""

    id: str
    task: Task
    size: str
    voices: tuple[str, ...]
    languages: tuple[str, ...]
    instructions: bool
    compute: Compute | None = None
    # `worker.model.fingerprint`; "": a worker of a version before, which does not say.
    weights: str = ""
