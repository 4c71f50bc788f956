"""From a loaded qwen-tts model to an engine that has taken its weights over."""

from __future__ import annotations

import logging
import time

import torch

from worker.engine.aside import aside
from worker.engine.codec.codec import Codec
from worker.engine.decoder import Decoder
from worker.engine.engine import Engine
from worker.engine.fused.build import CannotCompile
from worker.engine.fused.decoder import FusedDecoder
from worker.engine.precision import Precision
from worker.engine.qwen import Qwen3TTSModel
from worker.engine.runner import TalkerRunner

_log = logging.getLogger(__name__)


def assemble(
    model: Qwen3TTSModel,
    *,
    precision: Precision,
    slots: int,
    max_waiting: int,
    compiled: bool = False,
) -> Engine:
    """Build the engine of a model, whose weights are laid out anew and then let go.

    What remains in the model is what reads text and references. `compiled` is a wish: without a
    compiler all works as it does without that, and the log says so.
    """
    decoder = choose_decoder(model, precision) if compiled else Decoder
    runner, codec = aside(lambda: _take_over(model, precision, slots, decoder))
    return Engine(runner, codec, slots=slots, max_waiting=max_waiting)


def choose_decoder(model: Qwen3TTSModel, precision: Precision) -> type[Decoder]:
    """The compiled decoder, or the plain one where that cannot be."""
    began_s = time.monotonic()
    try:
        FusedDecoder.prepare(model.model.talker.config, precision, model.device)
    except CannotCompile as error:
        _log.warning("Not compiled, so slower: %s", error)
        return Decoder
    _log.info("Compiled for this processor in %.1f s", time.monotonic() - began_s)
    return FusedDecoder


def _take_over(
    model: Qwen3TTSModel, precision: Precision, slots: int, decoder: type[Decoder]
) -> tuple[TalkerRunner, Codec]:
    tokenizer = model.model.speech_tokenizer.model
    codec = Codec(tokenizer.decoder, precision.of_codec)
    del tokenizer.decoder
    if model.model.tts_model_type != "base":
        del tokenizer.encoder  # only clones have something to read
    for left in tokenizer.parameters():
        left.data = left.detach().to(torch.float32, copy=True)
    return TalkerRunner(model, slots, precision, decoder), codec
