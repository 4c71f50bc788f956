"""The codec's decoder to be trained: the released classes in small, and a faster Snake."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

import worker.engine.qwen  # noqa: F401  (keeps the 25 Hz tokenizer and its torchaudio out)

# isort: split
from qwen_tts.core.tokenizer_12hz import modeling_qwen3_tts_tokenizer_v2 as released
from qwen_tts.core.tokenizer_12hz.configuration_qwen3_tts_tokenizer_v2 import (
    Qwen3TTSTokenizerV2DecoderConfig,
)

from training.basis import Basis
from training.codes import COMPONENTS, Codebooks
from training.layout import (
    FIRST_DETAIL,
    FIRST_SIZE,
    FIRST_UNIT,
    GROUPS,
    PITCH,
    PITCH_SIZE,
    SECOND_DETAIL,
    SECOND_UNIT,
)

DIRECTIONS = 128
CODE_WIDTH = 2 * COMPONENTS + PITCH_SIZE + 1  # both units' components and the pitch
CONFIG: dict[str, Any] = {
    "codebook_size": FIRST_SIZE,
    "semantic_codebook_size": FIRST_SIZE,
    "codebook_dim": 2 * CODE_WIDTH,
    "vector_quantization_hidden_dimension": CODE_WIDTH,
    "num_quantizers": GROUPS,
    "num_semantic_quantizers": 1,
    "latent_dim": 192,
    "hidden_size": 96,
    "intermediate_size": 192,
    "head_dim": 24,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "num_hidden_layers": 1,
    "sliding_window": 12,
    "decoder_dim": DIRECTIONS,
    "layer_scale_initial_scale": 0.2,
    "max_position_embeddings": 8_000,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10_000,
    "upsample_rates": [8, 5, 4, 3],
    "upsampling_ratios": [2, 2],
}
_SAMPLES = 60  # of one step at 400 Hz
_BRANCH_SCALE = 0.3  # of the upsampler's blocks, which would start at a millionth
_RESIDUAL_SCALE = 0.3  # of what a residual unit adds
_ALMOST_STRAIGHT = -6.0  # the logarithm of a Snake's speed: so slow, it is the identity


class _Snake(torch.autograd.Function):
    """x + sin(a x)^2 / b as x + (1 - cos(2 a x)) / 2 b: one cosine forward, one sine backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
        """`x` [rows, channels, n]; `alpha` and `beta` [channels], logarithms."""
        speed, half = 2 * alpha.exp()[:, None], 0.5 * (-beta).exp()[:, None]
        cosine = (x * speed).cos_()
        ctx.save_for_backward(x, cosine, speed, half)
        return torch.addcmul(x + half, cosine, half, value=-1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The gradients of `x`, `alpha` and `beta`."""
        x, cosine, speed, half = ctx.saved_tensors
        slope = (x * speed).sin_().mul_(grad)
        to_beta = -(grad * (1 - cosine)).sum((0, 2)) * half[:, 0]
        to_alpha = (slope * x).sum((0, 2)) * (half * speed)[:, 0]
        return torch.addcmul(grad, slope, half * speed), to_alpha, to_beta


def new_decoder(books: Codebooks, basis: Basis) -> nn.Module:
    """A decoder to be trained; its pointer and unused groups carry no sound.

    Its first block begins as the basis and the others as mere rearrangements: of the 64 channels
    at 400 Hz the first 60 are the 60 samples of those 2.5 ms. So the layers at 50 Hz can be trained
    alone (`coefficients`), before all refine the sound.
    """
    decoder: Any = released.Qwen3TTSTokenizerV2Decoder(Qwen3TTSTokenizerV2DecoderConfig(**CONFIG))
    _draw_weights(decoder)
    for module in decoder.modules():
        if hasattr(module, "gamma"):
            nn.init.constant_(module.gamma, _BRANCH_SCALE)
        if isinstance(module, released.SnakeBeta):
            module.forward = _snake_of(module)
    with torch.no_grad():
        _embed_codes(decoder, books)
        _place_basis(decoder.decoder[1], basis)
        channels = _SAMPLES
        for block in decoder.decoder[2:5]:
            channels = _rearrange(block, channels)
        for snake in (*(block.block[0] for block in decoder.decoder[1:5]), decoder.decoder[5]):
            snake.alpha.fill_(_ALMOST_STRAIGHT)
        for block in decoder.decoder[1:5]:
            for unit in block.block[2:]:
                unit.conv2.conv.weight.zero_()
        output = decoder.decoder[6].conv
        output.weight.zero_()
        output.weight[0, 0, -1] = 1.0
    return decoder


def _place_basis(block: Any, basis: Basis) -> None:
    """Let a block turn coefficients into sound: each of its steps makes `_SAMPLES` of them."""
    conv = block.block[1].conv
    conv.weight.zero_()
    for step, samples in enumerate(torch.split(basis.filters(), _SAMPLES)):
        conv.weight[:, :_SAMPLES, step] = samples.T


def _rearrange(block: Any, channels: int) -> int:
    """Let a block turn each step's `channels` into as many steps as it has; what each holds."""
    conv = block.block[1].conv
    steps = conv.stride[0]
    kept = channels // steps
    conv.weight.zero_()
    for channel in range(channels):
        conv.weight[channel, channel % kept, channel // kept] = 1.0
    return int(kept)


def _embed_codes(decoder: Any, books: Codebooks) -> None:
    """Let the codes' embeddings add up to the components of both units, and the pitch's mark."""
    scale = float(books.first.std(0).max())
    first, detail = (torch.from_numpy(one / scale) for one in (books.first, books.detail))
    tables = {
        FIRST_UNIT: (0, first),
        SECOND_UNIT: (COMPONENTS, first),
        FIRST_DETAIL: (0, detail),
        SECOND_DETAIL: (COMPONENTS, detail),
        PITCH: (2 * COMPONENTS, torch.eye(PITCH_SIZE)),
    }
    quantizer = decoder.quantizer
    layers = [*quantizer.rvq_first.vq.layers, *quantizer.rvq_rest.vq.layers]
    for group, layer in enumerate(layers):
        book = layer._codebook  # the released layout has no other door
        book.cluster_usage.requires_grad_(False)
        book.embedding_sum.zero_()
        if group in tables:
            start, table = tables[group]
            book.embedding_sum[: len(table), start : start + table.shape[1]] = table
        else:
            book.embedding_sum.requires_grad_(False)
    for part in (quantizer.rvq_first, quantizer.rvq_rest):
        part.output_proj.weight.zero_()
        part.output_proj.weight[:CODE_WIDTH, :, 0] = torch.eye(CODE_WIDTH)
        part.input_proj.weight.zero_()  # of the encoder


def _draw_weights(decoder: nn.Module) -> None:
    """Draw weights that keep a signal's size; the released classes' own are far too small."""
    for name, module in decoder.named_modules():
        if isinstance(module, nn.ConvTranspose1d):
            inputs = module.in_channels * module.kernel_size[0] / module.stride[0]
        elif isinstance(module, nn.Conv1d):
            inputs = module.in_channels // module.groups * module.kernel_size[0]
        elif isinstance(module, nn.Linear):
            inputs = module.in_features
        else:
            continue
        scale = _RESIDUAL_SCALE if ".conv2." in name else 1.0
        nn.init.normal_(module.weight, std=scale / math.sqrt(inputs))
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _snake_of(module: Any) -> Any:
    return lambda x: _Snake.apply(x, module.alpha, module.beta)  # type: ignore[no-untyped-call]


def waveform(decoder: Any, codes: Tensor) -> Tensor:
    """The samples [rows, n] of codes [rows, GROUPS, frames], without the decoder's clamp."""
    hidden = _upsampled(decoder, codes)
    for block in decoder.decoder:
        hidden = block(hidden)
    return hidden[:, 0]


def coefficients(decoder: Any, codes: Tensor) -> Tensor:
    """The basis's coefficients [rows, 4 * frames, n] of codes, in units of its sizes."""
    hidden: Tensor = decoder.decoder[0](_upsampled(decoder, codes))
    return hidden.transpose(1, 2)


def _upsampled(decoder: Any, codes: Tensor) -> Tensor:
    """Hidden states [rows, latent, 4 * frames], at 50 Hz."""
    hidden = decoder.pre_conv(decoder.quantizer.decode(codes)).transpose(1, 2)
    hidden = decoder.pre_transformer(inputs_embeds=hidden).last_hidden_state.transpose(1, 2)
    for blocks in decoder.upsample:
        for block in blocks:
            hidden = block(hidden)
    return hidden
