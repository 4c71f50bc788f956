"""Voice clone prompts, encoded once for each reference."""

from __future__ import annotations

import torch

from worker.engine.qwen import Qwen3TTSModel, VoiceClonePromptItem
from worker.engine.recent import Recent
from worker.engine.request import Reference

MOST = 64


class ClonePrompts:
    """The prompts of the most recent references, by content; may be used from any thread."""

    def __init__(self, model: Qwen3TTSModel) -> None:
        self._model = model
        self._recent: Recent[VoiceClonePromptItem] = Recent(MOST)

    def get(self, reference: Reference) -> VoiceClonePromptItem:
        """Return the prompt of a reference, encoding it if it is new."""
        return self._recent.get(reference.key, lambda: self._encode(reference))

    @torch.inference_mode()
    def _encode(self, reference: Reference) -> VoiceClonePromptItem:
        (prompt,) = self._model.create_voice_clone_prompt(
            (reference.samples, reference.sample_rate),
            ref_text=reference.text,
            x_vector_only_mode=reference.text is None,
        )
        return prompt
