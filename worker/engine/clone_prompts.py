"""Voice clone prompts, encoded once for each reference."""

from __future__ import annotations

from collections import OrderedDict

from worker.engine.qwen import Qwen3TTSModel, VoiceClonePromptItem
from worker.engine.request import Reference

MOST = 64


class ClonePrompts:
    """The prompts of the most recent references, by content."""

    def __init__(self, model: Qwen3TTSModel) -> None:
        self._model = model
        self._recent: OrderedDict[str, VoiceClonePromptItem] = OrderedDict()

    def get(self, reference: Reference) -> VoiceClonePromptItem:
        """Return the prompt of a reference, encoding it if it is new."""
        if reference.key not in self._recent:
            (self._recent[reference.key],) = self._model.create_voice_clone_prompt(
                (reference.samples, reference.sample_rate),
                ref_text=reference.text,
                x_vector_only_mode=reference.text is None,
            )
        self._recent.move_to_end(reference.key)
        while len(self._recent) > MOST:
            self._recent.popitem(last=False)
        return self._recent[reference.key]
