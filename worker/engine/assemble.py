"""From a loaded qwen-tts model to an engine that has taken its weights over."""

from __future__ import annotations

import logging
import time
from typing import NamedTuple

import torch

from worker.engine.aside import aside
from worker.engine.clone_prompts import PromptStore
from worker.engine.codec.codec import Codec
from worker.engine.codec.layers import Snake
from worker.engine.decoder import Decoder
from worker.engine.engine import Engine
from worker.engine.fused.build import CannotCompile
from worker.engine.fused.decoder import FusedDecoder, prepare_decoder
from worker.engine.fused.snake import FusedSnake, prepare_snake
from worker.engine.precision import Precision
from worker.engine.qwen import Qwen3TTSModel
from worker.engine.runner import TalkerRunner

_log = logging.getLogger(__name__)


class Parts(NamedTuple):
    """What there is in a compiled form, too."""

    decoder: type[Decoder]
    activation: type[Snake]


PLAIN = Parts(Decoder, Snake)


def assemble(
    model: Qwen3TTSModel,
    *,
    precision: Precision,
    slots: int,
    max_waiting: int,
    compiled: bool = False,
    prompts: PromptStore | None = None,
) -> Engine:
    """Build the engine of a model, whose weights are laid out anew and then let go.

    What remains in the model is what reads text and references. `compiled` is a wish: where that
    cannot be, all works as it does without, and the log says so. `prompts` keeps those of saved
    voices.
    """
    parts = compile_parts(model, precision) if compiled else PLAIN
    runner, codec = aside(lambda: _take_over(model, precision, slots, parts, prompts))
    return Engine(runner, codec, slots=slots, max_waiting=max_waiting)


def compile_parts(model: Qwen3TTSModel, precision: Precision) -> Parts:
    """The compiled parts, or the plain ones where that cannot be."""
    began_s = time.monotonic()
    try:
        if model.device.type != "cpu":
            raise CannotCompile(f"there are kernels for the CPU, not for {model.device.type}")
        talker = model.model.talker.config
        for config in (talker, talker.code_predictor_config):
            prepare_decoder(config, precision)
        prepare_snake(precision.of_codec)
    except CannotCompile as error:
        _log.warning("TTS_COMPILE=1 has no effect: %s", error)
        return PLAIN
    _log.info("Compiled for this processor in %.1f s", time.monotonic() - began_s)
    return Parts(FusedDecoder, FusedSnake)


def _take_over(
    model: Qwen3TTSModel,
    precision: Precision,
    slots: int,
    parts: Parts,
    prompts: PromptStore | None,
) -> tuple[TalkerRunner, Codec]:
    tokenizer = model.model.speech_tokenizer.model
    codec = Codec(tokenizer.decoder, precision.of_codec, parts.activation)
    del tokenizer.decoder
    if model.model.tts_model_type != "base":
        del tokenizer.encoder  # only clones have something to read
    for left in tokenizer.parameters():
        left.data = left.detach().to(torch.float32, copy=True)
    return TalkerRunner(model, slots, precision, parts.decoder, prompts), codec
