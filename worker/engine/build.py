"""From a loaded qwen-tts model to an engine that has taken its weights over."""

from __future__ import annotations

import logging
import time
from typing import NamedTuple

import torch

from worker.engine.clone_prompts import PromptStore
from worker.engine.codec.codec import Codec
from worker.engine.codec.products import FloatProducts, Products
from worker.engine.engine import Engine
from worker.engine.kernels.codec import Int8Products
from worker.engine.kernels.compiler import CannotCompile
from worker.engine.kernels.decoder import FusedDecoder, compile_decoder_kernels
from worker.engine.kernels.snake import FusedSnake, compile_snake
from worker.engine.nn.decoder import Decoder
from worker.engine.precision import Precision
from worker.engine.qwen import Qwen3TTSModel
from worker.engine.runner import TalkerRunner
from worker.engine.threads import run_in_temporary_thread

_log = logging.getLogger(__name__)


class Parts(NamedTuple):
    """The parts of an engine that there are several of.

    The codec's first layers and its last multiply by `outer`, the others by `inner`.
    """

    decoder: type[Decoder]
    outer: FloatProducts
    inner: Products


def build_engine(
    model: Qwen3TTSModel,
    *,
    precision: Precision,
    slots: int,
    max_waiting: int,
    compiled: bool = True,
    prompts: PromptStore | None = None,
) -> Engine:
    """Build the engine of a model, whose weights are laid out anew; the old ones are freed.

    The model keeps the parts that read text and references. With `compiled` the kernels are
    compiled; if that fails, the log says so and the plain ones are used. `prompts` keeps the
    prompts of saved voices.
    """
    parts = choose_parts(model, precision, compiled=compiled)
    runner, codec = run_in_temporary_thread(
        lambda: _take_weights(model, precision, slots, parts, prompts)
    )
    return Engine(runner, codec, slots=slots, max_waiting=max_waiting)


def choose_parts(model: Qwen3TTSModel, precision: Precision, *, compiled: bool) -> Parts:
    """The compiled parts, or the plain ones if they cannot be compiled."""
    began_s = time.monotonic()
    try:
        if not compiled or model.device.type != "cpu":
            return plain_parts(precision)
        parts = _compiled_parts(model, precision)
    except CannotCompile as error:
        _log.warning("Speaking without compiled kernels, which is slower: %s", error)
        return plain_parts(precision)
    _log.info("Compiled for this processor in %.1f s", time.monotonic() - began_s)
    return parts


def plain_parts(precision: Precision) -> Parts:
    """The parts that need no compiler: in int8 the codec is computed in bfloat16."""
    of_codec = Precision.BFLOAT16 if precision is Precision.INT8 else precision
    codec = FloatProducts(of_codec)
    return Parts(Decoder, codec, codec)


def _compiled_parts(model: Qwen3TTSModel, precision: Precision) -> Parts:
    talker = model.model.talker.config
    for config in (talker, talker.code_predictor_config):
        compile_decoder_kernels(config, precision)
    compile_snake(precision)
    if precision is not Precision.INT8:
        codec = FloatProducts(precision, FusedSnake)
        return Parts(FusedDecoder, codec, codec)
    compile_snake(Precision.FLOAT32)
    return Parts(FusedDecoder, FloatProducts(Precision.FLOAT32, FusedSnake), Int8Products())


def _take_weights(
    model: Qwen3TTSModel,
    precision: Precision,
    slots: int,
    parts: Parts,
    prompts: PromptStore | None,
) -> tuple[TalkerRunner, Codec]:
    tokenizer = model.model.speech_tokenizer.model
    codec = Codec(tokenizer.decoder, parts.outer, parts.inner)
    del tokenizer.decoder
    if model.model.tts_model_type != "base":
        del tokenizer.encoder  # only clones have something to read
    for left in tokenizer.parameters():
        left.data = left.detach().to(torch.float32, copy=True)
    return TalkerRunner(model, slots, precision, parts.decoder, prompts), codec
