"""Random weights that keep every signal near size one, whatever the dimensions.

A tensor depends on the seed, its name and its shape alone: neither on the global random state nor
on the tensors drawn before it.
"""

from __future__ import annotations

import hashlib
import math
import re

import torch
from torch import Tensor, nn

Weights = dict[str, Tensor]

_ONES_PATTERN = re.compile(r"cluster_usage$|initialized$")
_CODEBOOK_PATTERN = re.compile(r"embedding_sum$|embed_sum$|text_embedding\.weight$")
_NORM_PATTERN = re.compile(r"norm\.weight$")
# The residual branches of the codec start near zero before training; here they should matter.
_SCALE_PATTERN = re.compile(r"\.scale$|\.gamma$")
_SNAKE_PATTERN = re.compile(r"\.alpha$|\.beta$")
_CODES_PATTERN = re.compile(r"codec_embedding")
_ATTENTION_PATTERN = re.compile(r"(talker|code_predictor).*[qk]_norm\.weight$")
_TRANSPOSED_PATTERN = re.compile(
    r"decoder\.upsample\.\d+\.0\.conv\.weight|decoder\.\d+\.block\.1\.conv\.weight"
)
# The size of the outputs of a product whose inputs have size one; of any other product, 1.
_GAINS = (
    (re.compile(r"codec_head|lm_head"), 3.0),
    (re.compile(r"block\.[234]\.conv2\.conv\.weight"), 0.3),  # of a residual branch
    (re.compile(r"^decoder\.decoder\.6\.conv\.weight$"), 0.05),  # to the samples
)


def random_weights(model: nn.Module, seed: int, dtype: torch.dtype) -> Weights:
    """Return a state dict for `model`, which may be on the meta device."""
    return {
        name: _draw(name, tensor.shape, seed).to(dtype)
        for name, tensor in model.state_dict().items()
    }


def _draw(name: str, shape: torch.Size, seed: int) -> Tensor:
    if _ONES_PATTERN.search(name):
        return torch.ones(shape)
    digest = hashlib.blake2b(f"{seed} {name}".encode(), digest_size=8).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest, "big") >> 1)
    mean, deviation = _moments(name, shape)
    return torch.randn(shape, generator=generator).mul_(deviation).add_(mean)


def _moments(name: str, shape: torch.Size) -> tuple[float, float]:
    if _CODEBOOK_PATTERN.search(name):
        return 0.0, 1.0
    if _ATTENTION_PATTERN.search(name):
        return 1.5, 0.1
    if _NORM_PATTERN.search(name):
        return 1.0, 0.1
    if _SCALE_PATTERN.search(name):
        return 0.3, 0.1
    if _SNAKE_PATTERN.search(name):
        return 0.0, 0.2
    if _CODES_PATTERN.search(name):
        return 0.0, 0.25  # a frame is the sum of 16 of them
    if len(shape) == 1:
        return 0.0, 0.02
    gain = next((gain for pattern, gain in _GAINS if pattern.search(name)), 1.0)
    return 0.0, gain / math.sqrt(_fan_in(name, shape))


def _fan_in(name: str, shape: torch.Size) -> int:
    """Return how many products each output sums up.

    A transposed convolution, [in, out, kernel], has one tap when it upsamples by its kernel
    (`upsample`) and two when by half of it (`block`).
    """
    if _TRANSPOSED_PATTERN.search(name):
        return shape[0] * (2 if "block" in name else 1)
    return shape[1:].numel()
