"""Reads rounded rows, however this processor's products keep them."""

from __future__ import annotations

import torch
from torch import Tensor

from worker.engine.kernels.int8_product import SCALE_BYTES, input_bytes


def rounded_values(rows: Tensor, inputs: int) -> Tensor:
    """The whole numbers of rounded rows, as float32 [..., inputs]."""
    kept = rows[..., : inputs * input_bytes()].contiguous()
    return kept.view(torch.int16).float() if input_bytes() == 2 else kept.float() - 128


def row_scales(rows: Tensor) -> Tensor:
    """The scales of rounded rows: float32 [..., 1]."""
    return rows[..., -SCALE_BYTES:].contiguous().view(torch.float32)
