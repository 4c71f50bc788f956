"""Clone references: decoded and checked by the API, so that no worker gets a broken one."""

from __future__ import annotations

import asyncio
import base64
import binascii
import io
from threading import BoundedSemaphore
from typing import NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray

from api.jobs.requests import Reference
from api.safe_http.client import SafeClient
from shared.errors import FetchFailed, InvalidRequest, Unavailable
from shared.settings import Settings

MIN_S = 0.5
READABLE_FORMATS = ("WAV", "WAVEX", "FLAC", "OGG", "MP3")
MAX_CHANNELS = 2
MIN_RATE, MAX_RATE = 8_000, 192_000
# Seconds to download a recording.
FETCH_TIMEOUT_S = 15.0
# Threads that wait for downloads; the others serve requests.
MAX_FETCHES = 8
MIN_PEAK, MAX_PEAK = 1e-3, 8.0

Samples = NDArray[np.float32]


class Sound(NamedTuple):
    """Decoded audio that is not silent: float32 samples [n, channels] at `rate` Hz."""

    samples: Samples
    rate: int

    @property
    def mono(self) -> Samples:
        """The mean of the channels [n]."""
        mixed: Samples = self.samples.mean(axis=1)
        return mixed


class ReferenceReader:
    """Reads the recordings of requests; at most `MAX_FETCHES` of them come from URLs at a time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._fetch_permits = BoundedSemaphore(MAX_FETCHES)

    def read(self, reference: Reference) -> bytes:
        """The recording's file; raises `InvalidRequest` if it is no audio, or cannot be used.

        Raises `FetchFailed` if its URL gives no file in time.
        """
        audio = reference.audio
        if reference.is_url:
            content = self._fetch(audio)
        else:
            encoded = audio.partition(",")[2] if audio.startswith("data:") else audio
            try:
                content = base64.b64decode("".join(encoded.split()), validate=True)
            except (binascii.Error, ValueError):
                raise _bad("it is not base64", "reference.audio") from None
        decode(content, self._settings.max_reference_s, param="reference.audio")
        return content

    def _fetch(self, url: str) -> bytes:
        settings = self._settings
        if settings.reference_urls == "off":
            raise _bad(
                "this server fetches nothing from URLs (TTS_REFERENCE_URLS); use base64 or a data: "
                "URL",
                "reference.audio",
            )
        client = SafeClient(allow_private=settings.reference_urls == "any")
        if not self._fetch_permits.acquire(blocking=False):
            raise Unavailable("too many recordings are being fetched; try again shortly")
        try:
            # This runs in a thread, so the request gets an event loop of its own.
            return asyncio.run(client.fetch(url, settings.max_voice_bytes, FETCH_TIMEOUT_S))
        except (InvalidRequest, FetchFailed) as error:
            raise type(error)(error.message, param="reference.audio") from None
        finally:
            self._fetch_permits.release()


def decode(content: bytes, max_s: float, *, param: str) -> Sound:
    """Decode a sound file whose header says that it can be used; raises `InvalidRequest`."""
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            _check_header(file, max_s)
            # The bound holds even if the header lies about the length.
            most = int(max_s * file.samplerate)
            sound = Sound(file.read(most, dtype="float32", always_2d=True), file.samplerate)
    except soundfile.LibsndfileError as error:
        said = error.error_string.rstrip(".")
        raise _bad(f"it cannot be read as audio: {said}", param) from None
    except _Unusable as error:
        raise _bad(str(error), param) from None
    peak = np.abs(sound.mono).max(initial=0.0)
    if not MIN_PEAK <= peak <= MAX_PEAK:  # a peak that is not a number is neither
        raise _bad("it is silent or damaged", param)
    return sound


class _Unusable(Exception):
    """Raised when a file cannot be used; its text is the reason."""


def _check_header(file: soundfile.SoundFile, max_s: float) -> None:
    """Check the header before decoding: a small file may unpack to gigabytes."""
    if file.format not in READABLE_FORMATS:
        raise _Unusable(f"it is {file.format_info}")
    if file.channels > MAX_CHANNELS or not MIN_RATE <= file.samplerate <= MAX_RATE:
        raise _Unusable(
            f"it has {file.channels} channels at {file.samplerate:,} Hz; up to {MAX_CHANNELS} at "
            f"{MIN_RATE:,} to {MAX_RATE:,} Hz can be used"
        )
    seconds = file.frames / file.samplerate
    if not MIN_S <= seconds <= max_s:
        raise _Unusable(
            f"it lasts {seconds:.2f} s; {MIN_S} to {max_s:.0f} s can be used, 10 s is best"
        )


def _bad(why: str, param: str) -> InvalidRequest:
    return InvalidRequest(
        f"the reference is of no use: {why}. Send wav, flac, ogg or mp3", param=param
    )
