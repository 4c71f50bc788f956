"""From a loaded qwen-tts model to an engine that has taken its weights over."""

from __future__ import annotations

import logging
import time

import torch

from worker.engine.clone_prompts import PromptStore
from worker.engine.codec.codec import Codec
from worker.engine.compute_thread import ComputeThread
from worker.engine.engine import Engine
from worker.engine.kernels.compiler import CannotCompile
from worker.engine.kernels.int8_product import missing_instructions
from worker.engine.nn.graphs import CudaCapture
from worker.engine.observer import Observer
from worker.engine.parts import Parts, fastest_parts, plain_parts
from worker.engine.precision import Precision
from worker.engine.qwen import Qwen3TTSModel
from worker.engine.runner import TalkerRunner
from worker.engine.threads import run_in_temporary_thread
from worker.engine.tuning import Answers

_log = logging.getLogger(__name__)


def build_engine(
    model: Qwen3TTSModel,
    parts: Parts,
    *,
    slots: int,
    max_waiting: int,
    prompts: PromptStore | None = None,
    thread: ComputeThread | None = None,
    observer: Observer | None = None,
) -> Engine:
    """Build the engine of a model, whose weights are laid out anew; the old ones are freed.

    The model keeps what reads text and references. `prompts` keeps the prompts of saved voices;
    `thread` is that of engines which take turns.
    """
    runner, codec = run_in_temporary_thread(lambda: _take_weights(model, slots, parts, prompts))
    return Engine(
        runner, codec, slots=slots, max_waiting=max_waiting, thread=thread, observer=observer
    )


def choose_parts(
    model: Qwen3TTSModel,
    precision: Precision,
    slots: int,
    *,
    compiled: bool = True,
    answers: Answers | None = None,
) -> Parts:
    """The fastest parts here for `slots` requests at once; plain ones, unless they are `compiled`.

    Where they cannot be compiled, the log says why and they are the plain ones, too. On CUDA they
    are plain ones whose steps are captured. `answers` are known from other processes on this
    machine, and added to.
    """
    if not compiled or model.device.type != "cpu":
        is_captured = compiled and model.device.type == "cuda"
        return plain_parts(precision)._replace(is_captured=is_captured)
    began_s = time.monotonic()
    known = {} if answers is None else answers
    try:
        parts = run_in_temporary_thread(lambda: fastest_parts(model, precision, slots, known))
        if precision is Precision.INT8 and (missing := missing_instructions()):
            _log.info("int8 products could be faster: this processor lacks %s", missing)
    except CannotCompile as error:
        _log.warning("Speaking without compiled kernels, which is slower: %s", error)
        return plain_parts(precision)
    _log.info(
        "Products of the language model: %s; of the codec: %s; found in %.1f s",
        *parts.names,
        time.monotonic() - began_s,
    )
    return parts


def _take_weights(
    model: Qwen3TTSModel, slots: int, parts: Parts, prompts: PromptStore | None
) -> tuple[TalkerRunner, Codec]:
    tokenizer = model.model.speech_tokenizer.model
    codec = Codec(tokenizer.decoder, parts.outer, parts.inner)
    del tokenizer.decoder
    if model.model.tts_model_type != "base":
        del tokenizer.encoder  # only clones have something to read
    for left in tokenizer.parameters():
        left.data = left.detach().to(torch.float32, copy=True)
    capture = CudaCapture(model.device) if parts.is_captured else None
    return TalkerRunner(model, slots, parts.precision, parts.decoder, prompts, capture), codec
