"""The precisions that a model can be computed in."""

from __future__ import annotations

from enum import StrEnum

import torch


class Precision(StrEnum):
    """The type of weights and products; with int8, all between the products is float32."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    INT8 = "int8"

    @property
    def dtype(self) -> torch.dtype:
        """The type that the language model computes in between its products."""
        return torch.bfloat16 if self is Precision.BFLOAT16 else torch.float32

    @classmethod
    def default_on(cls, device: str) -> Precision:
        """float32 on CPU, where it gives the codes of qwen-tts; bfloat16 on CUDA."""
        return cls.BFLOAT16 if device.startswith("cuda") else cls.FLOAT32
