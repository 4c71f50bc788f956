"""The clone prompts of saved voices, in the storage that all workers share."""

from __future__ import annotations

import logging

from shared.errors import ObjectNotFound, Unavailable
from shared.storage import Storage
from shared.store.voices import Voices, prompt_key, voice_folder

_log = logging.getLogger(__name__)


class VoicePromptStore:
    """A `PromptStore` over the storage; the engine encodes a prompt that is not in it."""

    def __init__(self, voices: Voices, storage: Storage) -> None:
        self._voices = voices
        self._storage = storage

    def load(self, voice: str, name: str) -> bytes | None:
        """The prompt, or None if it is not stored or the storage is away."""
        try:
            return self._storage.get(prompt_key(voice, name))
        except ObjectNotFound:
            return None
        except Unavailable as error:
            _log.warning("A voice prompt cannot be had now, and is made anew: %s", error)
            return None

    def save(self, voice: str, name: str, content: bytes) -> None:
        """Keep a prompt, unless its voice has been deleted."""
        try:
            if not self._voices.exists(voice):
                return
            self._storage.put(prompt_key(voice, name), content)
            # The voice was deleted in between, perhaps its folder, too: the prompt must not stay.
            if not self._voices.exists(voice):
                self._storage.delete_folder(voice_folder(voice))
        except Unavailable as error:
            _log.warning("A voice prompt is not kept: %s", error)
