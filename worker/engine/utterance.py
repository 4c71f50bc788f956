"""A finished row, ready to become sound."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from worker.engine.request import Codes, FinishReason, Samples
from worker.engine.rows import Row


class Utterance:
    """The codes that a row made, and the codec that turns them into samples."""

    def __init__(self, row: Row, codec: Any) -> None:
        self.codes: Codes = row.codes
        self.finish_reason: FinishReason = row.finish_reason
        self._reference = row.prompt.reference_codes
        self._codec = codec

    @torch.inference_mode()
    def decode(self) -> Samples:
        """Decode to float32 [n] at 24 kHz.

        A clone's reference is decoded before the codes and cut off again, as qwen-tts does: the
        speech goes on from it.
        """
        codes = torch.from_numpy(self.codes)
        before = 0
        if self._reference is not None:
            before = len(self._reference)
            codes = torch.cat([self._reference.cpu(), codes])
        (samples,), _rate = self._codec.decode([{"audio_codes": codes}])
        cut = int(before / len(codes) * len(samples))
        return np.ascontiguousarray(samples[cut:], dtype=np.float32)
