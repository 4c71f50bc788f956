"""Voice clone prompts, encoded once for each reference."""

from __future__ import annotations

from functools import cached_property
from typing import Protocol

import torch

from worker.engine import prompt_file
from worker.engine.qwen import Qwen3TTSModel, VoiceClonePromptItem
from worker.engine.request import Reference
from worker.engine.single_flight_lru import SingleFlightLRU

MAX_PROMPTS = 64


class PromptStore(Protocol):
    """Keeps prompts of saved voices for every engine; it never fails, but may forget."""

    def load(self, voice: str, name: str) -> bytes | None:
        """The content saved under a name for a voice, or None."""
        ...

    def save(self, voice: str, name: str, content: bytes) -> None:
        """Save content under a name for a voice."""
        ...


class ClonePrompts:
    """The prompts of the most recent references, by content; may be used from any thread.

    Those of saved voices are in the store, too, so that other workers need not encode them again.
    """

    def __init__(self, model: Qwen3TTSModel, store: PromptStore | None = None) -> None:
        self._model = model
        self._store = store
        self._recent: SingleFlightLRU[VoiceClonePromptItem] = SingleFlightLRU(MAX_PROMPTS)

    def get(self, reference: Reference) -> VoiceClonePromptItem:
        """Return the prompt of a reference, encoding it if it is new."""
        return self._recent.get(reference.key, lambda: self._find(reference))

    def _find(self, reference: Reference) -> VoiceClonePromptItem:
        if self._store is None or reference.voice is None:
            return self._encode(reference)
        name = prompt_file.name(self._encoder, reference)
        stored = self._store.load(reference.voice, name)
        found = stored and prompt_file.read(stored, reference.text, self._model)
        if found:
            return found
        prompt = self._encode(reference)
        self._store.save(reference.voice, name, prompt_file.write(prompt))
        return prompt

    @cached_property
    def _encoder(self) -> str:
        return prompt_file.encoder(self._model)

    @torch.inference_mode()
    def _encode(self, reference: Reference) -> VoiceClonePromptItem:
        (prompt,) = self._model.create_voice_clone_prompt(
            (reference.samples, reference.sample_rate),
            ref_text=reference.text,
            x_vector_only_mode=reference.text is None,
        )
        return prompt
