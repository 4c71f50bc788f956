"""The source of a clone job's voice: a recording sent with it, or a saved voice."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from api.caller import Caller
from api.jobs.requests import VoiceClone
from api.services import Services
from api.voices import reference_audio as reference
from api.voices import service as voices
from shared.errors import InvalidRequest, ObjectNotFound, VoiceNotFound
from shared.jobs import StoredReference
from shared.store.voices import Voice, recording_key


class CloneSource(NamedTuple):
    """A recording and what is said in it, or a voice that was saved with both."""

    recording: bytes | None
    text: str | None
    voice: Voice | None = None


def check(request: VoiceClone, services: Services, caller: Caller) -> CloneSource:
    """The clone source of a request; raises `InvalidRequest` with the field to change."""
    if request.voice is not None:
        if request.reference is not None:
            raise InvalidRequest("send either voice or reference, not both", param="voice")
        try:
            voice = voices.find(request.voice, services, caller)
        except VoiceNotFound:
            raise _no_voice(request.voice) from None
        return CloneSource(None, voice.ref_text, voice)
    if request.reference is None:
        raise InvalidRequest("send the voice to clone: reference, or voice", param="reference")
    recording = reference.read(request.reference, services.settings)
    return CloneSource(recording, request.reference.text)


def store(source: CloneSource, key: str, services: Services) -> tuple[StoredReference, int]:
    """Store a job's own copy, so that it is spoken even if the voice is deleted.

    Returns it with its size in bytes. Raises `InvalidRequest` if it was deleted just now.
    """
    content, voice = source.recording, source.voice
    if voice is not None:
        try:
            content = services.storage.get(recording_key(voice.id))
        except ObjectNotFound:
            raise _no_voice(voice.name) from None
    assert content is not None
    services.storage.put(key, content)
    digest = hashlib.sha256(content).hexdigest()
    stored = StoredReference(key=key, digest=digest, text=source.text)
    if voice is not None:
        stored = stored.model_copy(update={"voice": voice.id, "voice_name": voice.name})
    return stored, len(content)


def _no_voice(name: str) -> InvalidRequest:
    return InvalidRequest(
        f"you have no voice {name[:100]!r}: upload it at /v1/audio/voices", param="voice"
    )
