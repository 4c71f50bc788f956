"""The gain of int8 on this machine, estimated by running the parts that take the most time."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from typing import Any

import torch
from torch.nn import Linear

from worker.engine.codec.codec import CHUNK_FRAMES
from worker.engine.kernels.compiler import CannotCompile
from worker.engine.kernels.decoder import COMPILED_INT8, FusedDecoder
from worker.engine.nn.decoder import Decoder
from worker.engine.nn.predictor import CodePredictor
from worker.engine.parts import Parts, codec_runs, fastest_codec
from worker.engine.precision import Precision
from worker.engine.qwen import Qwen3TTSModel
from worker.engine.sampler import BatchSampler, SamplingParams
from worker.engine.threads import run_in_temporary_thread
from worker.engine.tuning import Answers, best_s

_log = logging.getLogger(__name__)

# The codec's time over that of what is timed: one of three residual units of each block, which take
# five sixths of the whole.
CODEC_SHARE = 3.6
# Of the talker's layers: below, calls take longer than products.
MIN_WEIGHTS = 50_000_000


def int8_speedup(model: Qwen3TTSModel, parts: Parts, answers: Answers) -> float | None:
    """Times as fast as `parts` that int8 would speak to one listener; below 1 it would be slower.

    None, if that cannot be said: they are int8 themselves, or not compiled, or the model is so
    small that its products are not what takes the time. The code predictor, run as it is, stands
    for the language model, by the weights that each reads; the codec's residual units stand for the
    codec.
    """
    is_small = _weights(model.model.talker.model.layers) < MIN_WEIGHTS
    if parts.precision is Precision.INT8 or parts.decoder is Decoder or is_small:
        return None
    shape = f"hidden size {model.model.talker.config.hidden_size}"
    question = f"int8 instead of {' and '.join(parts.names)} ({shape})"
    with suppress(KeyError, ValueError):  # never asked, or a damaged file
        return float(answers[question])
    decoder = model.model.speech_tokenizer.model.decoder
    fused = partial(FusedDecoder, products=COMPILED_INT8)
    try:
        outer, inner = fastest_codec(decoder, Precision.INT8, shape, answers).choice
        int8 = Parts(Precision.INT8, ("int8", "int8"), fused, outer, inner)
        own_s, int8_s = (
            run_in_temporary_thread(partial(_frame_s, model, one)) for one in (parts, int8)
        )
    except CannotCompile as error:
        _log.debug("What int8 would gain cannot be timed: %s", error)
        return None
    answers[question] = f"{own_s / int8_s:.2f}"
    return float(answers[question])


@torch.inference_mode()
def _frame_s(model: Qwen3TTSModel, parts: Parts) -> float:
    """Seconds of a frame, about."""
    talker, dtype = model.model.talker, parts.precision.dtype
    module = talker.code_predictor
    tables = [table.weight.detach() for table in module.get_input_embeddings()]
    predictor = CodePredictor(module, tables, 1, parts.precision, parts.decoder)
    state = torch.zeros(1, talker.config.hidden_size, dtype=dtype)
    sampler = BatchSampler([SamplingParams(greedy=True)], state.device)
    draws = torch.zeros(1, len(tables))
    predicted_s = best_s(lambda: predictor(state, state, sampler, draws))
    read = len(tables) * _weights(module.model.layers) + _weights(module.lm_head)
    alone, _ = codec_runs(model.model.speech_tokenizer.model.decoder, parts.inner)
    language_model_s = predicted_s * (1 + _weights(talker.model.layers) / read)
    return language_model_s + CODEC_SHARE * best_s(alone) / CHUNK_FRAMES


def _weights(modules: Iterable[Any]) -> int:
    linears = (one for module in modules for one in module.modules() if isinstance(one, Linear))
    return sum(one.weight.numel() for one in linears)
