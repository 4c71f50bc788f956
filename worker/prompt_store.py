"""Where the prompts of saved voices lie, so that all workers share them."""

from __future__ import annotations

import logging

from shared.errors import ObjectNotFound, Unavailable
from shared.storage import Storage
from shared.store.voices import Voices, prompt_key, voice_folder

_log = logging.getLogger(__name__)


class VoicePromptStore:
    """Obeys `PromptStore`: whoever finds nothing here makes the prompt anew."""

    def __init__(self, voices: Voices, storage: Storage) -> None:
        self._voices = voices
        self._storage = storage

    def load(self, voice: str, name: str) -> bytes | None:
        """The prompt, if it is there and can be had."""
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
            # Deleted in between, and perhaps even swept: nothing of it is to stay.
            if not self._voices.exists(voice):
                self._storage.delete_folder(voice_folder(voice))
        except Unavailable as error:
            _log.warning("A voice prompt is not kept: %s", error)
