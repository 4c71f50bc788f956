"""Saved voices: found by id or by the owner's name for them, stored, and removed."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import TYPE_CHECKING

from api.auth.caller import Caller
from api.voices.presets import is_preset, presets
from api.voices.recording import normalise_recording
from api.voices.responses import VoiceObject
from shared.errors import (
    InvalidRequest,
    NameTaken,
    TooManyVoices,
    Unavailable,
    VoiceNotFound,
)
from shared.storage import Storage
from shared.store.voices import (
    VOICE_PREFIX,
    Voice,
    Voices,
    comparable,
    new_voice_id,
    recording_key,
    voice_folder,
)
from shared.store.workers import CachedModels, ServedModel

if TYPE_CHECKING:
    from api.voices.upload import Upload


def find(name: str, voices: Voices, caller: Caller) -> Voice:
    """The saved voice of that id, or of that name of the caller's; raises `VoiceNotFound`."""
    known: str | None = name
    if not name.startswith(VOICE_PREFIX):
        known = voices.named(caller.space, name)
    with suppress(VoiceNotFound):
        if known is not None and caller.sees((voice := voices.get(known)).owner):
            return voice
    raise VoiceNotFound(f"no voice {name[:100]!r}", param="voice_id")


def find_preset(voice_id: str, served: CachedModels) -> VoiceObject | None:
    """The voice of the served models with that id; None if there is none."""
    found = (voice for voice in presets(served.models()) if voice.id == voice_id.lower())
    return next(found, None)


def view_of_own(voice_id: str, voices: Voices, served: CachedModels, caller: Caller) -> VoiceObject:
    """The public view of the voice that `find` finds; raises `VoiceNotFound`."""
    return VoiceObject.of(find(voice_id, voices, caller), served.models())


def check(
    upload: Upload, caller: Caller, served: list[ServedModel], max_reference_s: float
) -> tuple[Voice, bytes]:
    """The voice that an upload makes, with its WAV; raises `InvalidRequest` or `NameTaken`."""
    _check_fields(upload, served)
    recording = normalise_recording(upload.content, upload.ref_text, max_reference_s)
    voice = Voice(
        id=new_voice_id(),
        owner=caller.space,
        name=upload.name,
        consent=upload.consent,
        digest=hashlib.sha256(recording.wav).hexdigest(),
        duration_s=recording.duration_s,
        ref_text=upload.ref_text,
        language=upload.language,
        description=upload.description,
        warnings=recording.warnings,
    )
    return voice, recording.wav


def keep(voice: Voice, wav: bytes, voices: Voices, storage: Storage, max_voices: int) -> Voice:
    """Store a checked voice; raises `NameTaken` or `TooManyVoices`."""
    voices.begin(voice.id)
    try:
        storage.put(recording_key(voice.id), wav)
        return voices.create(voice, most=max_voices)
    except (NameTaken, TooManyVoices):
        # After any other error the voice may be stored; if not, the sweep removes its folder.
        remove_files(voice.id, storage)
        raise


def remove_files(voice_id: str, storage: Storage) -> None:
    """Remove the files of a deleted voice; the sweep removes any that are left."""
    with suppress(Unavailable):
        storage.delete_folder(voice_folder(voice_id))


def _check_fields(upload: Upload, served: list[ServedModel]) -> None:
    if is_preset(upload.name, served):
        raise NameTaken(f"{upload.name!r} is one of the models' own voices", param="name")
    if comparable(upload.name).startswith(VOICE_PREFIX):
        raise InvalidRequest(f"names that begin with {VOICE_PREFIX} are the server's", param="name")
    languages = {name for each in served for name in each.card.languages}
    if upload.language and languages and upload.language not in languages:
        raise InvalidRequest(
            f"no model here has the language {upload.language!r}: {', '.join(sorted(languages))}",
            param="language",
        )
