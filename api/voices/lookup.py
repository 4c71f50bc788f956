"""Voices by the id or name in a request: saved ones, and those of the served models."""

from __future__ import annotations

from contextlib import suppress

from api.auth.caller import Caller
from api.voices.presets import preset_id, presets
from api.voices.responses import VoiceObject
from shared.errors import VoiceNotFound
from shared.store.voices import VOICE_PREFIX, Voice, Voices
from shared.store.workers import CachedModels


def find(name: str, voices: Voices, caller: Caller) -> Voice:
    """The saved voice of that id, or of that name of the caller's; raises `VoiceNotFound`."""
    known: str | None = (name := name.strip())
    if not name.startswith(VOICE_PREFIX):
        known = voices.named(caller.space, name)
    with suppress(VoiceNotFound):
        if known is not None and caller.sees((voice := voices.get(known)).owner):
            return voice
    raise VoiceNotFound(f"no voice {name[:100]!r}", param="voice_id")


def find_preset(voice_id: str, served: CachedModels) -> VoiceObject | None:
    """The voice of the served models with that id or name; None if there is none."""
    wanted = preset_id(voice_id)
    found = (voice for voice in presets(served.models()) if voice.id == wanted)
    return next(found, None)


def view_of_own(voice_id: str, voices: Voices, served: CachedModels, caller: Caller) -> VoiceObject:
    """The public view of the voice that `find` finds; raises `VoiceNotFound`."""
    return VoiceObject.of(find(voice_id, voices, caller), served.models())
