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

from training.layout import FIRST_SIZE, GROUPS, POINTER, USED_GROUPS

CONFIG: dict[str, Any] = {
    "codebook_size": FIRST_SIZE,
    "semantic_codebook_size": FIRST_SIZE,
    "codebook_dim": 128,
    "vector_quantization_hidden_dimension": 64,
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
    "decoder_dim": 128,
    "layer_scale_initial_scale": 0.2,
    "max_position_embeddings": 8_000,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10_000,
    "upsample_rates": [8, 5, 4, 3],
    "upsampling_ratios": [2, 2],
}
EARLY_SAMPLES = 60  # of one step at 400 Hz
_BRANCH_SCALE = 0.3  # of the upsampler's blocks, which would start at a millionth
_RESIDUAL_SCALE = 0.3  # of what a residual unit adds
_SOUND_SCALE = 0.03  # speech is quiet
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


def new_decoder() -> nn.Module:
    """A decoder to be trained, whose pointer and unused groups carry no sound.

    Its last three blocks begin as mere rearrangements: of the 64 channels at 400 Hz the first 60
    are the 60 samples of those 2.5 ms. So the first block alone can learn to make sound
    (`early_waveform`), at a tenth of the cost, and the others refine it.
    """
    decoder: Any = released.Qwen3TTSTokenizerV2Decoder(Qwen3TTSTokenizerV2DecoderConfig(**CONFIG))
    _draw_weights(decoder)
    _silence_unused_groups(decoder)
    for module in decoder.modules():
        if hasattr(module, "gamma"):
            nn.init.constant_(module.gamma, _BRANCH_SCALE)
        if isinstance(module, released.SnakeBeta):
            module.forward = _snake_of(module)
    with torch.no_grad():
        for block in decoder.decoder[1:5]:
            block.block[0].alpha.fill_(_ALMOST_STRAIGHT)
        channels = EARLY_SAMPLES
        for block in decoder.decoder[2:5]:
            channels = _rearrange(block, channels)
        decoder.decoder[5].alpha.fill_(_ALMOST_STRAIGHT)
        output = decoder.decoder[6].conv
        output.weight.zero_()
        output.weight[0, 0, -1] = 1.0
    return decoder


def _rearrange(block: Any, channels: int) -> int:
    """Let a block turn each step's `channels` into as many steps as it has; what each holds."""
    conv = block.block[1].conv
    steps = conv.stride[0]
    kept = channels // steps
    conv.weight.zero_()
    for channel in range(channels):
        conv.weight[channel, channel % kept, channel // kept] = 1.0
    for unit in block.block[2:]:
        unit.conv2.conv.weight.zero_()
    return int(kept)


def _silence_unused_groups(decoder: Any) -> None:
    quantizer = decoder.quantizer
    layers = [*quantizer.rvq_first.vq.layers, *quantizer.rvq_rest.vq.layers]
    for group, layer in enumerate(layers):
        book = layer._codebook  # the released layout has no other door
        book.cluster_usage.requires_grad_(False)
        if group == POINTER or group >= USED_GROUPS:
            book.embedding_sum.requires_grad_(False)
        else:
            nn.init.normal_(book.embedding_sum)
    for part in (quantizer.rvq_first, quantizer.rvq_rest):
        nn.init.orthogonal_(part.output_proj.weight[..., 0].data)
        part.input_proj.weight.data.zero_()  # of the encoder


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
        if name == "decoder.1.block.1.conv":
            scale = _SOUND_SCALE
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


def early_waveform(decoder: Any, codes: Tensor) -> Tensor:
    """The samples that the decoder's first block makes, while the other blocks only rearrange."""
    hidden = decoder.decoder[1](decoder.decoder[0](_upsampled(decoder, codes)))
    samples: Tensor = hidden[:, :EARLY_SAMPLES].transpose(1, 2).flatten(1)
    return samples


def _upsampled(decoder: Any, codes: Tensor) -> Tensor:
    """Hidden states [rows, latent, 4 * frames], at 50 Hz."""
    hidden = decoder.pre_conv(decoder.quantizer.decode(codes)).transpose(1, 2)
    hidden = decoder.pre_transformer(inputs_embeds=hidden).last_hidden_state.transpose(1, 2)
    for blocks in decoder.upsample:
        for block in blocks:
            hidden = block(hidden)
    return hidden
