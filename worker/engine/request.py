"""The engine's requests and their results; no torch here."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from shared.speech_model import SAMPLE_RATE, SamplingOverrides, Task

# Codes of a frame, in every model of the family.
CODE_GROUPS = 16

Samples = NDArray[np.float32]
Codes = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Reference:
    """The recording that a cloned voice is taken from.

    `samples` is float32 [n], mono, at `sample_rate` Hz. With `text`, its transcript, the model
    continues the recording (in-context learning); without it only the speaker embedding
    (x-vector) is used. `key` names the content: equal keys, equal voice clone prompts. With
    `voice`, the name of a saved voice, its prompt is kept for others to use.
    """

    key: str
    samples: Samples
    sample_rate: int
    text: str | None = None
    voice: str | None = None


@dataclass(frozen=True, eq=False)
class SynthesisRequest:
    """One text for one batch slot.

    `max_frames` bounds the length, in codec frames of 80 ms. `on_frames` gets the float32 samples
    as they come, a few frames at a time, on the codec's thread, which must not be held up.
    `cancelled` ends the request at the next frame. `streams_text` is whether the model reads the
    text while it speaks instead of before; by default, as in qwen-tts, it does for clones only.
    """

    task: Task
    text: str
    max_frames: int
    language: str = "auto"
    speaker: str | None = None
    instruct: str | None = None
    reference: Reference | None = None
    sampling: SamplingOverrides = field(default_factory=SamplingOverrides)
    streams_text: bool | None = None
    on_frames: Callable[[Samples], None] | None = None
    cancelled: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class Timings:
    """A request's time in seconds, and the most requests that shared a step with it.

    `first_audio_s` is the time to its first samples, None if it has none.
    """

    waiting_s: float
    running_s: float
    batch_size: int
    first_audio_s: float | None = None


FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, eq=False)
class Speech:
    """The result of a request: `samples` float32 [n] at 24 kHz, `codes` int [frames, 16].

    `finish_reason` is `stop` when the model ended the speech itself and `length` when it was cut
    at `max_frames`.
    """

    samples: Samples
    codes: Codes
    finish_reason: FinishReason
    timings: Timings

    @property
    def audio_s(self) -> float:
        """The length in seconds."""
        return len(self.samples) / SAMPLE_RATE
