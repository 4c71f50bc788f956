"""The talker and its code predictor, for training; the modules are named as in the released files.

Group `POINTER` of each frame says how many positions back the text token lies that is being
spoken. The first weights make rotary attention look that token up (`_wire`), so that alignment is
given and only spelling, timing and sound are learned.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from training.layout import FIRST_SIZE, GROUPS, POINTER, POINTER_SIZE, USED_GROUPS

EPSILON = 1e-6
_SHARP_LAYERS = 3  # whose attention is wired
_HEAD_SCALE = 0.3  # of all logits at first
# Tokens ahead of the spoken one that each wired head looks up, layer by layer: spelling needs
# what follows ("hat", "hate").
_OFFSETS = ((0, 1, 2, 3), (0, 2, 4, -1), (0, 1, 3, 5))


@dataclass(frozen=True)
class StackSize:
    """The dimensions of a stack of transformer layers."""

    width: int
    inner: int
    layers: int
    heads: int
    kv_heads: int
    head: int
    theta: float


TALKER = StackSize(width=192, inner=512, layers=4, heads=6, kv_heads=3, head=32, theta=100.0)
PREDICTOR = StackSize(width=128, inner=320, layers=2, heads=4, kv_heads=2, head=32, theta=10_000.0)
TEXT_WIDTH, TEXT_SIZE = 96, 320
# The last 1,024 codes are never drawn but for the end of speech, as in the released layout.
CODES = FIRST_SIZE + 1_024
PREDICTOR_CODES = FIRST_SIZE
END = FIRST_SIZE  # the index of the end of speech among the logits


class Norm(nn.Module):
    """Root mean square normalisation."""

    def __init__(self, width: int, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((width,), weight))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last dimension."""
        return functional.rms_norm(x, self.weight.shape, self.weight, EPSILON)


class Attention(nn.Module):
    """Causal attention of grouped heads with rotary positions."""

    def __init__(self, size: StackSize, sharpness: float) -> None:
        super().__init__()
        self.size = size
        inner, shared = size.heads * size.head, size.kv_heads * size.head
        self.q_proj = nn.Linear(size.width, inner, bias=False)
        self.k_proj = nn.Linear(size.width, shared, bias=False)
        self.v_proj = nn.Linear(size.width, shared, bias=False)
        self.o_proj = nn.Linear(inner, size.width, bias=False)
        self.q_norm, self.k_norm = Norm(size.head, sharpness), Norm(size.head, sharpness)

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        """Attend within `x` [rows, positions, width]."""
        rows, length, _ = x.shape

        def heads(y: Tensor, count: int) -> Tensor:
            return y.view(rows, length, count, self.size.head)

        q = self.q_norm(heads(self.q_proj(x), self.size.heads)).transpose(1, 2)
        k = self.k_norm(heads(self.k_proj(x), self.size.kv_heads)).transpose(1, 2)
        v = heads(self.v_proj(x), self.size.kv_heads).transpose(1, 2)
        y = functional.scaled_dot_product_attention(
            _rotate(q, cosine, sine), _rotate(k, cosine, sine), v, is_causal=True, enable_gqa=True
        )
        joined: Tensor = self.o_proj(y.transpose(1, 2).reshape(rows, length, -1))
        return joined


def _rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    return x * cosine + x.roll(x.shape[-1] // 2, -1) * sine


class FeedForward(nn.Module):
    """The gated feed-forward network."""

    def __init__(self, size: StackSize) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(size.width, size.inner, bias=False)
        self.up_proj = nn.Linear(size.width, size.inner, bias=False)
        self.down_proj = nn.Linear(size.inner, size.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Transform each position."""
        y: Tensor = self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))
        return y


class Layer(nn.Module):
    """A layer: attention and a feed-forward network, each with its norm and a residual."""

    def __init__(self, size: StackSize, sharpness: float) -> None:
        super().__init__()
        self.self_attn, self.mlp = Attention(size, sharpness), FeedForward(size)
        self.input_layernorm, self.post_attention_layernorm = Norm(size.width), Norm(size.width)

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        """Transform `x` [rows, positions, width]."""
        x = x + self.self_attn(self.input_layernorm(x), cosine, sine)
        y: Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return y


class Stack(nn.Module):
    """Layers and a final norm."""

    def __init__(self, size: StackSize, sharp_layers: int) -> None:
        super().__init__()
        self.size = size
        sharpness = [1.7 if layer < sharp_layers else 1.2 for layer in range(size.layers)]
        self.layers = nn.ModuleList(Layer(size, one) for one in sharpness)
        self.norm = Norm(size.width)

    def forward(self, x: Tensor) -> Tensor:
        """The hidden states [rows, positions, width] of inputs of that shape."""
        angles = torch.arange(x.shape[1])[:, None] * _frequencies(self.size)
        cosine = torch.cat([angles.cos(), angles.cos()], 1)
        sine = torch.cat([-angles.sin(), angles.sin()], 1)
        for layer in self.layers:
            x = layer(x, cosine, sine)
        y: Tensor = self.norm(x)
        return y


def _frequencies(size: StackSize) -> Tensor:
    half = size.head // 2
    return size.theta ** (-torch.arange(half) / half)


class PredictorStack(Stack):
    """The predictor's layers and the embeddings of groups 1 to 15."""

    def __init__(self) -> None:
        super().__init__(PREDICTOR, 0)
        self.codec_embedding = nn.ModuleList(
            nn.Embedding(PREDICTOR_CODES, TALKER.width) for _ in range(GROUPS - 1)
        )


class Predictor(nn.Module):
    """The code predictor: groups 1 to 15 of a frame, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.model = PredictorStack()
        self.lm_head = nn.ModuleList(
            nn.Linear(PREDICTOR.width, PREDICTOR_CODES, bias=False) for _ in range(GROUPS - 1)
        )
        self.small_to_mtp_projection = nn.Linear(TALKER.width, PREDICTOR.width)

    def table(self, group: int) -> nn.Parameter:
        """The embeddings [codes, talker's width] of a group from 1 on."""
        embedding: Any = self.model.codec_embedding[group - 1]
        weight: nn.Parameter = embedding.weight
        return weight

    def head(self, group: int) -> nn.Parameter:
        """The weights [codes, width] of the logits of a group from 1 on."""
        linear: Any = self.lm_head[group - 1]
        weight: nn.Parameter = linear.weight
        return weight

    def forward(self, hidden: Tensor, first: Tensor, codes: Tensor) -> list[Tensor]:
        """The logits of groups 1 to `USED_GROUPS` - 1.

        `hidden` [n, width] are the talker's, `first` [n, width] the embeddings of group 0, `codes`
        [n, GROUPS] the frames to be predicted.
        """
        groups = range(1, USED_GROUPS)
        known = [functional.embedding(codes[:, one], self.table(one)) for one in groups[:-1]]
        inputs = torch.stack([hidden, first, *known], 1)
        y = self.model(self.small_to_mtp_projection(inputs))
        return [functional.linear(y[:, one], self.head(one)) for one in groups]


class TextProjection(nn.Module):
    """The network from text embeddings to the talker's width."""

    def __init__(self) -> None:
        super().__init__()
        self.linear_fc1 = nn.Linear(TEXT_WIDTH, TEXT_WIDTH)
        self.linear_fc2 = nn.Linear(TEXT_WIDTH, TALKER.width)

    def forward(self, x: Tensor) -> Tensor:
        """Project the last dimension."""
        y: Tensor = self.linear_fc2(functional.silu(self.linear_fc1(x)))
        return y


class TalkerStack(Stack):
    """The talker's layers and the embeddings of group 0 and of text."""

    def __init__(self) -> None:
        super().__init__(TALKER, _SHARP_LAYERS)
        self.codec_embedding = nn.Embedding(CODES, TALKER.width)
        self.text_embedding = nn.Embedding(TEXT_SIZE, TEXT_WIDTH)


class Talker(nn.Module):
    """The talker: text and frames in, logits of each next frame out."""

    def __init__(self, pad_code: int) -> None:
        super().__init__()
        self.model = TalkerStack()
        self.text_projection = TextProjection()
        self.codec_head = nn.Linear(TALKER.width, CODES, bias=False)
        self.code_predictor = Predictor()
        with torch.no_grad():
            _draw(self)
            _wire(self, pad_code)

    def embed_text(self, tokens: Tensor) -> Tensor:
        """The embeddings of text tokens."""
        y: Tensor = self.text_projection(self.model.text_embedding(tokens))
        return y

    def embed_code(self, codes: Tensor) -> Tensor:
        """The embeddings of codes of group 0 and of the special ones."""
        return functional.embedding(codes, self.model.codec_embedding.weight)

    def embed_frames(self, codes: Tensor) -> Tensor:
        """The sums of the embeddings of frames [n, GROUPS]."""
        y = self.embed_code(codes[:, 0])
        for group in range(1, USED_GROUPS):
            y = y + functional.embedding(codes[:, group], self.code_predictor.table(group))
        return y


def _draw(talker: Talker) -> None:
    for name, weight in talker.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(weight)
        elif weight.dim() == 2 and "embedding" not in name:
            scale = 0.5 if "o_proj" in name or "down_proj" in name else 1.0
            nn.init.normal_(weight, std=scale / math.sqrt(weight.shape[1]))
    predictor = talker.code_predictor
    talker.codec_head.weight.mul_(_HEAD_SCALE)
    nn.init.normal_(talker.model.text_embedding.weight)
    nn.init.normal_(talker.model.codec_embedding.weight, std=0.5)
    for group in range(1, GROUPS):
        nn.init.normal_(predictor.table(group), std=0.15)
        predictor.head(group).mul_(_HEAD_SCALE)
        if group >= USED_GROUPS:
            predictor.table(group).zero_().requires_grad_(False)
            predictor.head(group).zero_().requires_grad_(False)


def _wire(talker: Talker, pad_code: int) -> None:
    """Let heads look up the token that the pointer names.

    The first channels of a frame hold the pointer p as cosines and sines of p's angles, the next
    one marks positions of text (they carry `pad_code`). A wired head's query is that wave turned
    by its offset, its key a constant where the mark is; rotary positions turn both, so that their
    product is greatest p - offset positions back, among those marked.
    """
    head, half, mark = TALKER.head, TALKER.head // 2, TALKER.head
    predictor = talker.code_predictor
    codes = talker.model.codec_embedding.weight
    codes[:, : mark + 1] = 0
    for group in range(1, GROUPS):
        predictor.table(group)[:, : mark + 1] = 0
    talker.text_projection.linear_fc2.weight[: mark + 1] = 0
    codes[pad_code, mark] = 4.0

    frequencies = _frequencies(TALKER)
    angles = torch.arange(POINTER_SIZE)[:, None] * frequencies
    wave = torch.cat([angles.cos(), angles.sin()], 1)
    predictor.table(POINTER)[:POINTER_SIZE, :head] = wave
    attentions: list[Any] = [layer.self_attn for layer in talker.model.layers]
    for attention, offsets in zip(attentions, _OFFSETS, strict=False):
        for number, offset in enumerate(offsets):
            cosine, sine = (frequencies * offset).cos().diag(), (frequencies * offset).sin().diag()
            turn = torch.cat([torch.cat([cosine, sine], 1), torch.cat([sine, -cosine], 1)])
            query = attention.q_proj.weight[number * head : (number + 1) * head]
            query.mul_(0.1)
            query[:, :head] = 1.5 * turn
        for number in range(len(offsets) // 2):  # two heads share a key
            key = attention.k_proj.weight[number * head : (number + 1) * head]
            key.mul_(0.15)
            key[:half, mark] = 1.0
    # The predictor is shown the last pointer, and its first head compares pointers.
    bridge = predictor.small_to_mtp_projection.weight
    bridge[:head] *= 0.2
    bridge[:head, :head] += 1.5 * torch.eye(head)
    predictor.head(POINTER)[:POINTER_SIZE, :head] = 1.2 * wave
