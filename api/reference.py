"""Clone references: decoded and checked here, so that no worker meets a broken one."""

from __future__ import annotations

import base64
import binascii
import hashlib
import io

import numpy as np
import soundfile

from api.deps import Services
from api.schemas import Reference
from shared.errors import InvalidRequest
from shared.jobs import StoredReference

MIN_S = 0.5
SILENCE_PEAK = 1e-3
_PARAM = "reference.audio"


def store(reference: Reference, services: Services) -> StoredReference:
    """Check a recording and store it under its content's hash, once.

    Raises `InvalidRequest` if it is no audio, too short, too long or silent.
    """
    content = _decode(reference.audio)
    _check(content, services.settings.max_reference_s)
    key = f"references/{hashlib.sha256(content).hexdigest()}"
    if not services.storage.exists(key):
        services.storage.put(key, content)
    return StoredReference(key=key, text=reference.text)


def _decode(audio: str) -> bytes:
    encoded = audio.partition(",")[2] if audio.startswith("data:") else audio
    try:
        return base64.b64decode("".join(encoded.split()), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequest(
            "the reference is not base64: send the audio file's bytes in base64", param=_PARAM
        ) from None


def _check(content: bytes, max_s: float) -> None:
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            seconds = file.frames / file.samplerate
            if not MIN_S <= seconds <= max_s:
                raise InvalidRequest(
                    f"the reference lasts {seconds:.1f} s; it must be {MIN_S} to {max_s:.0f} s, "
                    "about 10 s is best",
                    param=_PARAM,
                )
            # The header may lie; never read more than was allowed.
            samples = file.read(int(max_s * file.samplerate), dtype="float32")
    except soundfile.LibsndfileError as error:
        raise InvalidRequest(
            f"the reference cannot be read as audio ({error}); send wav, flac, ogg or mp3",
            param=_PARAM,
        ) from None
    if not np.isfinite(samples).all() or np.abs(samples).max(initial=0.0) < SILENCE_PEAK:
        raise InvalidRequest("the reference is silent or damaged", param=_PARAM)
