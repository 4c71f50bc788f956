"""Clone references: decoded and checked here, so that no worker meets a broken one."""

from __future__ import annotations

import base64
import binascii
import hashlib
import io

import numpy as np
import soundfile

from api.requests import Reference
from shared.errors import InvalidRequest
from shared.jobs import StoredReference
from shared.settings import Settings
from shared.storage import Storage

MIN_S = 0.5
FORMATS = ("WAV", "WAVEX", "FLAC", "OGG", "MP3")
MAX_CHANNELS = 2
MIN_RATE, MAX_RATE = 8_000, 192_000
SILENCE_PEAK, LOUDEST_PEAK = 1e-3, 8.0


def read(reference: Reference, settings: Settings) -> bytes:
    """The recording's file; raises `InvalidRequest` if it is no audio, too short, long or quiet."""
    content = _decode(reference.audio)
    _check(content, settings.max_reference_s)
    return content


def store(content: bytes, text: str | None, folder: str, storage: Storage) -> StoredReference:
    """Store a recording in a job's folder, to expire with the job."""
    key = f"{folder}/reference"
    storage.put(key, content)
    return StoredReference(key=key, digest=hashlib.sha256(content).hexdigest(), text=text)


def _decode(audio: str) -> bytes:
    encoded = audio.partition(",")[2] if audio.startswith("data:") else audio
    try:
        return base64.b64decode("".join(encoded.split()), validate=True)
    except (binascii.Error, ValueError):
        raise _bad("it is not base64") from None


def _check(content: bytes, max_s: float) -> None:
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            _check_header(file, max_s)
            samples = file.read(dtype="float32", always_2d=True).mean(axis=1)
    except soundfile.LibsndfileError as error:
        raise _bad(f"it cannot be read as audio: {error.error_string}") from None
    peak = np.abs(samples).max(initial=0.0)
    if not SILENCE_PEAK <= peak <= LOUDEST_PEAK:  # a peak that is not a number is neither
        raise _bad("it is silent or damaged")


def _check_header(file: soundfile.SoundFile, max_s: float) -> None:
    """Before anything is decoded: a small file may unpack to gigabytes."""
    if file.format not in FORMATS:
        raise _bad(f"it is {file.format_info}")
    if file.channels > MAX_CHANNELS or not MIN_RATE <= file.samplerate <= MAX_RATE:
        raise _bad(
            f"it has {file.channels} channels at {file.samplerate:,} Hz; up to {MAX_CHANNELS} at "
            f"{MIN_RATE:,} to {MAX_RATE:,} Hz can be used"
        )
    seconds = file.frames / file.samplerate
    if not MIN_S <= seconds <= max_s:
        raise _bad(f"it lasts {seconds:.2f} s; {MIN_S} to {max_s:.0f} s can be used, 10 s is best")


def _bad(why: str) -> InvalidRequest:
    return InvalidRequest(
        f"the reference is of no use: {why}. Send wav, flac, ogg or mp3", param="reference.audio"
    )
