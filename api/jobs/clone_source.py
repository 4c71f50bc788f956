"""The source of a clone job's voice: a recording sent with it, or a saved voice."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

from api.auth.caller import Caller
from api.jobs.requests import VoiceClone
from api.voices import lookup
from api.voices.reference_audio import ReferenceReader
from shared.document import DocumentWarning
from shared.errors import InvalidRequest, ObjectNotFound, VoiceNotFound
from shared.jobs import StoredReference
from shared.storage import Storage
from shared.store.voices import Voice, Voices, recording_key


class CloneSource(NamedTuple):
    """A recording and what is said in it, or a voice that was saved with both."""

    recording: bytes | None
    text: str | None
    voice: Voice | None = None
    warnings: tuple[DocumentWarning, ...] = ()


@dataclass(frozen=True)
class CloneSources:
    """Finds the clone source of a request, and stores it for the job."""

    voices: Voices
    references: ReferenceReader
    storage: Storage

    def check(self, request: VoiceClone, caller: Caller) -> CloneSource:
        """The clone source of a request; raises `InvalidRequest` with the field to change."""
        if request.voice is not None:
            if request.reference is not None:
                raise InvalidRequest("send either voice or reference, not both", param="voice")
            try:
                voice = lookup.find(request.voice, self.voices, caller)
            except VoiceNotFound:
                raise _no_voice(request.voice) from None
            return CloneSource(None, voice.ref_text, voice)
        if request.reference is None:
            raise InvalidRequest("send the voice to clone: reference, or voice", param="reference")
        prepared = self.references.read(request.reference)
        text = request.reference.text if prepared.keeps_text else None
        return CloneSource(prepared.content, text, warnings=prepared.warnings)

    def store(self, source: CloneSource, key: str) -> tuple[StoredReference, int]:
        """Store a job's own copy, so that it is spoken even if the voice is deleted.

        Returns it with its size in bytes. Raises `InvalidRequest` if it was deleted just now.
        """
        content, voice = source.recording, source.voice
        if voice is not None:
            try:
                content = self.storage.get(recording_key(voice.id))
            except ObjectNotFound:
                raise _no_voice(voice.name) from None
        assert content is not None
        self.storage.put(key, content)
        digest = hashlib.sha256(content).hexdigest()
        stored = StoredReference(key=key, digest=digest, text=source.text)
        if voice is not None:
            stored = stored.model_copy(update={"voice": voice.id, "voice_name": voice.name})
        return stored, len(content)


def _no_voice(name: str) -> InvalidRequest:
    return InvalidRequest(
        f"you have no voice {name[:100]!r}: upload it at /v1/audio/voices", param="voice"
    )
