"""The Qwen3-TTS family in plain data: tasks, sampling parameters, sample rate.

The standard library only: the engine imports this module and nothing else of `shared`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

SAMPLE_RATE = 24_000


class Task(StrEnum):
    """A kind of synthesis; each checkpoint is for exactly one."""

    CUSTOM_VOICE = "custom_voice"
    VOICE_DESIGN = "voice_design"
    VOICE_CLONE = "voice_clone"


@dataclass(frozen=True)
class SamplingOverrides:
    """A request's sampling parameters, under the names of qwen-tts's generate arguments.

    `None` means: what the checkpoint's `generation_config.json` says. A `seed` makes the codes
    repeatable.
    """

    do_sample: bool | None = None
    top_k: int | None = None
    top_p: float | None = None
    temperature: float | None = None
    repetition_penalty: float | None = None
    subtalker_dosample: bool | None = None
    subtalker_top_k: int | None = None
    subtalker_top_p: float | None = None
    subtalker_temperature: float | None = None
    seed: int | None = None
