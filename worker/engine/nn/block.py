"""The parts of the models' transformers: RMSNorm, rotary embedding, one layer's weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

# Fuses several `nn.Linear` modules into one; the input type depends on the factory.
LinearFactory = Callable[..., Callable[[Any], Tensor]]


class RMSNorm:
    """Root mean square norm of the last dimension."""

    def __init__(self, module: Any, dtype: torch.dtype) -> None:
        self.weight: Tensor = module.weight.detach().to(dtype, copy=True)
        self.eps: float = module.variance_epsilon

    def __call__(self, x: Tensor) -> Tensor:
        """Normalise [..., n]."""
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


def rotary(inv_freq: Tensor, positions: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Cosine and signed sine for positions [rows, length]: [rows, 1, length, head size]."""
    angles = positions[:, None, :, None].float() * inv_freq
    cos, sin = angles.cos().to(dtype), angles.sin().to(dtype)
    return torch.cat([cos, cos], dim=-1), torch.cat([-sin, sin], dim=-1)


def apply_rotary(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Apply the rotary embedding to [rows, heads, length, head size]."""
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, -1), sin)


class TransformerBlock:
    """One layer's norms and products, which `make_linear` makes of its `nn.Linear` modules."""

    def __init__(self, module: Any, dtype: torch.dtype, make_linear: LinearFactory) -> None:
        attention, mlp = module.self_attn, module.mlp
        self.input_norm = RMSNorm(module.input_layernorm, dtype)
        self.post_attention_norm = RMSNorm(module.post_attention_layernorm, dtype)
        self.qkv = make_linear(attention.q_proj, attention.k_proj, attention.v_proj)
        self.out = make_linear(attention.o_proj)
        self.gate_up = make_linear(mlp.gate_proj, mlp.up_proj)
        self.down = make_linear(mlp.down_proj)

    def feed_forward(self, x: Tensor) -> Tensor:
        """The gated network after attention."""
        gate, up = self.gate_up(self.post_attention_norm(x)).chunk(2, dim=-1)
        return self.down(F.silu(gate) * up)
