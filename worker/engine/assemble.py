"""From a loaded qwen-tts model to an engine that has taken its weights over."""

from __future__ import annotations

import torch

from worker.engine.aside import aside
from worker.engine.codec.codec import Codec
from worker.engine.engine import Engine
from worker.engine.precision import Precision
from worker.engine.qwen import Qwen3TTSModel
from worker.engine.runner import TalkerRunner


def assemble(model: Qwen3TTSModel, *, precision: Precision, slots: int, max_waiting: int) -> Engine:
    """Build the engine of a model, whose weights are laid out anew and then let go.

    What remains in the model is what reads text and references.
    """
    runner, codec = aside(lambda: _take_over(model, precision, slots))
    return Engine(runner, codec, slots=slots, max_waiting=max_waiting)


def _take_over(
    model: Qwen3TTSModel, precision: Precision, slots: int
) -> tuple[TalkerRunner, Codec]:
    tokenizer = model.model.speech_tokenizer.model
    codec = Codec(tokenizer.decoder, precision.of_codec)
    del tokenizer.decoder
    if model.model.tts_model_type != "base":
        del tokenizer.encoder  # only clones have something to read
    for left in tokenizer.parameters():
        left.data = left.detach().to(torch.float32, copy=True)
    return TalkerRunner(model, slots, precision), codec
