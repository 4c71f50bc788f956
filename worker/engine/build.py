"""From a loaded qwen-tts model to an engine that has taken its weights over."""

from __future__ import annotations

import logging
import time
from typing import NamedTuple

import torch

from worker.engine.clone_prompts import PromptStore
from worker.engine.codec.codec import Codec
from worker.engine.codec.layers import Snake
from worker.engine.engine import Engine
from worker.engine.kernels.compiler import CannotCompile
from worker.engine.kernels.decoder import FusedDecoder, compile_decoder_kernels
from worker.engine.kernels.snake import FusedSnake, compile_snake
from worker.engine.nn.decoder import Decoder
from worker.engine.precision import Precision
from worker.engine.qwen import Qwen3TTSModel
from worker.engine.runner import TalkerRunner
from worker.engine.threads import run_in_temporary_thread

_log = logging.getLogger(__name__)


class Kernels(NamedTuple):
    """The parts that also exist in a compiled form."""

    decoder: type[Decoder]
    activation: type[Snake]


PLAIN_KERNELS = Kernels(Decoder, Snake)


def build_engine(
    model: Qwen3TTSModel,
    *,
    precision: Precision,
    slots: int,
    max_waiting: int,
    compiled: bool = False,
    prompts: PromptStore | None = None,
) -> Engine:
    """Build the engine of a model, whose weights are laid out anew; the old ones are freed.

    The model keeps the parts that read text and references. With `compiled` the kernels are
    compiled; if that fails, the log says so and the plain ones are used. `prompts` keeps the
    prompts of saved voices.
    """
    parts = compile_kernels(model, precision) if compiled else PLAIN_KERNELS
    runner, codec = run_in_temporary_thread(
        lambda: _take_weights(model, precision, slots, parts, prompts)
    )
    return Engine(runner, codec, slots=slots, max_waiting=max_waiting)


def compile_kernels(model: Qwen3TTSModel, precision: Precision) -> Kernels:
    """The compiled kernels, or the plain ones if they cannot be compiled."""
    began_s = time.monotonic()
    try:
        if model.device.type != "cpu":
            raise CannotCompile(f"there are kernels for the CPU, not for {model.device.type}")
        talker = model.model.talker.config
        for config in (talker, talker.code_predictor_config):
            compile_decoder_kernels(config, precision)
        compile_snake(precision.of_codec)
    except CannotCompile as error:
        _log.warning("TTS_COMPILE=1 has no effect: %s", error)
        return PLAIN_KERNELS
    _log.info("Compiled for this processor in %.1f s", time.monotonic() - began_s)
    return Kernels(FusedDecoder, FusedSnake)


def _take_weights(
    model: Qwen3TTSModel,
    precision: Precision,
    slots: int,
    parts: Kernels,
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
