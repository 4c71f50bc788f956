"""Counts of what a frame of speech needs at least, from a checkpoint's configuration."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from worker.engine.codec.codec import CHUNK_FRAMES
from worker.engine.qwen import (
    Qwen3TTSConfig,
    Qwen3TTSForConditionalGeneration,
    Qwen3TTSTokenizerV2Config,
    Qwen3TTSTokenizerV2Model,
)


@dataclass(frozen=True)
class Workload:
    """Weights that are read, and operations: a product and its addition are two.

    Only the products of weights count. Attention, activations, and keys and values come on top: 1
    to 10 % of it, more with many long speeches at once.
    """

    # Weights that a step of the language model reads, once for all rows of the batch.
    step_weights: int
    # Operations of a frame of one row in the language model.
    frame_operations: int
    # Weights that reading a prompt takes; each of its positions is multiplied by each of them once.
    prompt_weights: int
    # Weights that decoding a chunk of the codec reads, once for all streams.
    codec_weights: int
    # Operations of a frame of one stream in the codec.
    codec_operations: int


def read_workload(folder: Path) -> Workload:
    """The counts of a checkpoint."""
    files = (folder / "config.json", folder / "speech_tokenizer" / "config.json")
    return count_workload(*(json.loads(file.read_text(encoding="utf-8")) for file in files))


def count_workload(model_config: dict[str, Any], codec_config: dict[str, Any]) -> Workload:
    """The counts of a model and a codec with these configurations.

    The code predictor makes a frame in one pass fewer than the frame has codes, and reads its
    layers in each pass. Its first pass has two positions: the talker's state and the first code.
    """
    with FakeTensorMode():  # numbers are never made: shapes are enough
        talker = Qwen3TTSForConditionalGeneration(Qwen3TTSConfig(**model_config)).talker
        codec = Qwen3TTSTokenizerV2Model(Qwen3TTSTokenizerV2Config(**codec_config)).decoder
        talker_layers = _weights(talker.model.layers)
        predictor = talker.code_predictor
        pass_weights = _weights([predictor.model.layers, predictor.small_to_mtp_projection])
        passes = len(predictor.lm_head)
        heads = _weights([talker.codec_head, predictor.lm_head])
        codebooks = codec.quantizer
        projections = [part.output_proj for part in (codebooks.rvq_first, codebooks.rvq_rest)]
        layers = [part for part in codec.children() if part is not codebooks]
        with FlopCounterMode(display=False) as counter, torch.inference_mode():
            codec(torch.zeros(1, passes + 1, CHUNK_FRAMES, dtype=torch.long))
        return Workload(
            step_weights=talker_layers + passes * pass_weights + heads,
            frame_operations=2 * (talker_layers + (passes + 1) * pass_weights + heads),
            prompt_weights=talker_layers,
            codec_weights=_weights([*layers, *projections]),
            codec_operations=counter.get_total_flops() // CHUNK_FRAMES,
        )


def _weights(modules: Iterable[nn.Module]) -> int:
    """The number of weights in products: those with two dimensions or more."""
    return sum(
        weight.numel() for module in modules for weight in module.parameters() if weight.ndim > 1
    )
