"""Speech that costs nothing: one frame of silence, at once."""

from __future__ import annotations

from concurrent.futures import Future
from functools import cache

import numpy as np

from shared.audio.wav import encode_wav
from shared.models import ModelCard
from shared.speech_model import Task
from worker.engine.request import Speech, SynthesisRequest, Timings

CARD = ModelCard(
    id="tiny-CustomVoice",
    task=Task.CUSTOM_VOICE,
    size="none",
    voices=("vivian",),
    languages=("auto",),
    instructions=False,
)
SILENCE = Speech(
    samples=np.zeros(1_920, np.float32),
    codes=np.zeros((1, 16), np.int64),
    finish_reason="stop",
    timings=Timings(waiting_s=0.0, running_s=0.0, batch_size=1),
)


@cache
def wav() -> bytes:
    """The silence as a file."""
    return encode_wav(SILENCE.samples)


class NoEngine:
    """Takes the engine's place in a worker."""

    is_alive, stalled_s = True, 0.0

    def submit(self, _request: SynthesisRequest) -> Future[Speech]:
        """Say nothing, at once."""
        done = Future[Speech]()
        done.set_result(SILENCE)
        return done

    def close(self) -> None:
        """Nothing to close."""
