"""The parts of an engine that there are several of, and the choice between them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from worker.engine.codec.codec import CHUNK_STEPS
from worker.engine.codec.layers import ResidualUnit
from worker.engine.codec.products import FloatProducts, Products
from worker.engine.codec.stream import Stream, StreamBatch
from worker.engine.kernels.codec import FusedFloatProducts, Int8Products, RowProducts
from worker.engine.kernels.decoder import (
    COMPILED,
    COMPILED_INT8,
    DecoderProducts,
    FusedDecoder,
    compile_decoder_kernels,
)
from worker.engine.kernels.int8_product import round_rows
from worker.engine.nn.decoder import Decoder, DecoderFactory
from worker.engine.nn.linear import can_multiply_int8, linear
from worker.engine.precision import Precision
from worker.engine.qwen import Qwen3TTSModel
from worker.engine.tuning import Answers, Candidate, Run, fastest

# Layers whose products are timed: more weights than the processor's cache holds.
_TIMED_LAYERS = 6
# Streams that are timed: one listener, and a few at once.
_TIMED_STREAMS = (1, 4)

# The name of our own products.
KERNEL = "kernel"

CodecProducts = tuple[FloatProducts, Products]


class Parts(NamedTuple):
    """The parts of an engine.

    `precision` is the language model's; `names` says what products it and the codec have. The
    codec's first layers and its last multiply by `outer`, the others by `inner`. If `is_captured`,
    steps are captured as CUDA graphs.
    """

    precision: Precision
    names: tuple[str, str]
    decoder: DecoderFactory
    outer: FloatProducts
    inner: Products
    is_captured: bool = False


def plain_parts(precision: Precision) -> Parts:
    """The parts that need no compiler: in int8 the codec is computed in bfloat16."""
    of_codec = Precision.BFLOAT16 if precision is Precision.INT8 else precision
    codec = FloatProducts(of_codec)
    return Parts(
        precision, (f"{precision} by torch", f"{of_codec} by torch"), Decoder, codec, codec
    )


def fastest_parts(
    model: Qwen3TTSModel, precision: Precision, slots: int, answers: Answers
) -> Parts:
    """The compiled parts that are the fastest here; raises `CannotCompile`.

    Where our float product is faster than those in bfloat16, bfloat16 is computed in float32, from
    the same weights.
    """
    talker = model.model.talker
    shape = f"hidden size {talker.config.hidden_size}"
    question = f"the language model ({shape}, {precision}, {slots} at once)"
    products = fastest(question, _decoder_candidates(model, precision, slots), answers)
    decoder = model.model.speech_tokenizer.model.decoder
    codec = fastest_codec(decoder, precision, shape, answers)
    if precision is Precision.BFLOAT16 and products.name == KERNEL:
        precision = Precision.FLOAT32
    for config in (talker.config, talker.config.code_predictor_config):
        compile_decoder_kernels(config, precision, products.choice)
    fused = partial(FusedDecoder, products=products.choice)
    return Parts(precision, (products.name, codec.name), fused, *codec.choice)


def fastest_codec(
    decoder: Any, precision: Precision, shape: str, answers: Answers
) -> Candidate[CodecProducts]:
    """The products that are the fastest for the codec here; raises `CannotCompile`."""
    candidates = _codec_candidates(decoder, precision)
    return fastest(f"the codec ({shape}, {precision})", candidates, answers)


def _decoder_candidates(
    model: Qwen3TTSModel, precision: Precision, slots: int
) -> list[Candidate[DecoderProducts]]:
    layers = model.model.talker.model.layers[:_TIMED_LAYERS]
    by_torch = DecoderProducts(partial(linear, precision=precision), is_rounded=False)
    if precision is Precision.INT8:
        choices = {KERNEL: COMPILED_INT8} | ({"fbgemm": by_torch} if can_multiply_int8() else {})
    else:
        choices = {KERNEL: COMPILED, "onednn": by_torch}
    return [
        Candidate(name, products, partial(_product_runs, layers, precision, products, slots))
        for name, products in choices.items()
    ]


def _product_runs(
    layers: Sequence[Any], precision: Precision, products: DecoderProducts, slots: int
) -> list[Run]:
    """Runs of the widest product of some layers, for one row and for `slots`."""
    multiply = [products.make_linear(layer.mlp.gate_proj, layer.mlp.up_proj) for layer in layers]
    width = layers[0].mlp.gate_proj.in_features

    def run(x: Tensor) -> None:
        for one in multiply:
            one(x)

    inputs = [torch.rand(rows, width, dtype=precision.dtype) for rows in (1, slots)]
    if products.is_rounded:
        inputs = [round_rows(x) for x in inputs]
    return [partial(run, x) for x in inputs]


def _codec_candidates(decoder: Any, precision: Precision) -> list[Candidate[CodecProducts]]:
    exact = FusedFloatProducts(Precision.FLOAT32)
    choices: dict[str, CodecProducts] = {"float32": (exact, exact)}
    if precision is not Precision.FLOAT32:
        short = FusedFloatProducts(Precision.BFLOAT16)
        choices["bfloat16"] = short, short
    if precision is Precision.INT8:
        choices["int8"] = RowProducts(), Int8Products()
    return [
        Candidate(name, products, partial(codec_runs, decoder, products[1]))
        for name, products in choices.items()
    ]


def codec_runs(decoder: Any, products: Products) -> list[Run]:
    """Runs of one residual unit of each block, for one stream and for a few."""
    units, time = [], CHUNK_STEPS
    for block in decoder.decoder[1:-2]:
        _, stretch, unit, *_ = block.block
        time *= stretch.conv.stride[0]
        units.append((ResidualUnit(unit, products, time), time, stretch.conv.out_channels))

    def run(inputs: list[Tensor], streams: list[Stream]) -> None:
        for (unit, *_), x in zip(units, inputs, strict=True):
            unit(x, StreamBatch(streams))

    return [
        partial(
            run,
            [torch.rand(rows, time, width, dtype=products.dtype) for _, time, width in units],
            [Stream() for _ in range(rows)],
        )
        for rows in _TIMED_STREAMS
    ]
