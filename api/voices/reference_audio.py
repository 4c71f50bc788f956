"""Clone references: decoded and checked by the API, so that no worker gets a broken one."""

from __future__ import annotations

import asyncio
import base64
import binascii
import io
from collections.abc import Iterator
from threading import BoundedSemaphore
from typing import NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray

from api.jobs.requests import Reference
from api.safe_http.client import SafeClient
from api.voices.decoding import Samples, UnusableAudio, decode_start
from shared.document import DocumentWarning
from shared.errors import FetchFailed, InvalidRequest, Unavailable
from shared.formats import READABLE_FORMATS
from shared.settings import Settings

MIN_S = 0.5
# Seconds to download a recording.
FETCH_TIMEOUT_S = 15.0
# Threads that wait for downloads; the others serve requests.
MAX_FETCHES = 8
MIN_PEAK, MAX_PEAK = 1e-3, 8.0
# Channels whose mean has less than this share of their energy cancel each other.
MIN_MIXED_SHARE = 0.1
# The silence after the last word: with less, cloned speech may begin with the words of the end.
END_SILENCE_S = 0.5
# Frames of 20 ms that are 45 dB below the loudest are silence.
FRAMES_PER_S, SILENCE_DB, MIN_LEVEL = 50, 45.0, 1e-6
# A recording that is too long is cut in its last pause: the quietest 0.3 s, to 6 dB.
PAUSE_FRAMES, PAUSE_DB = 15, 6.0
Levels = NDArray[np.float64]


class Sound(NamedTuple):
    """Decoded audio that is not silent: float32 samples [n, channels] at `rate` Hz.

    `is_cut` if the file is longer than the limit: then it ends in a pause. `is_damaged` if the rest
    of it could not be read, `is_plain` if workers can read the file.
    """

    samples: Samples
    rate: int
    is_cut: bool = False
    is_damaged: bool = False
    is_plain: bool = True

    @property
    def cancels(self) -> bool:
        """True if the mean of its two channels is next to nothing, as if one were inverted."""
        # The energy of each channel, and what they have in common; no copy of 90 MB is made.
        products = np.einsum("ij,ik->jk", self.samples, self.samples, dtype=np.float64)
        mixed, channels = products.mean(), np.trace(products) / len(products)
        return bool(mixed < MIN_MIXED_SHARE * channels)

    @property
    def mono(self) -> Samples:
        """The mean of the channels [n], or the louder one if they cancel each other."""
        if self.cancels:
            loudest = np.abs(self.samples).max(axis=0).argmax()
            side: Samples = self.samples[:, int(loudest)]
            return side
        mixed: Samples = self.samples.mean(axis=1)
        return mixed

    def warnings(self) -> Iterator[tuple[str, str]]:
        """Yield a code and a message for each thing that was left out."""
        if self.is_cut:
            seconds = len(self.samples) / self.rate
            yield (
                "trimmed",
                f"only its first {seconds:.1f} s are used, up to a pause, and what is said in it "
                "is not, since it is of the whole: send 10 s with their text",
            )
        if self.is_damaged:
            yield "damaged", "its end cannot be read, and is left out"
        if self.cancels:
            yield "channels_cancel", "its channels cancel each other: one of them is used"


class PreparedReference(NamedTuple):
    """The file of a clone reference as workers read it.

    `keeps_text` is False if it was cut, so that what is said in all of it would not fit.
    """

    content: bytes
    warnings: tuple[DocumentWarning, ...]
    keeps_text: bool


class ReferenceReader:
    """Reads the recordings of requests; at most `MAX_FETCHES` of them come from URLs at a time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._fetch_permits = BoundedSemaphore(MAX_FETCHES)

    def read(self, reference: Reference) -> PreparedReference:
        """The recording; raises `InvalidRequest` if it is no audio, or cannot be used.

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
        return prepare_reference(content, self._settings.max_reference_s)

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


def prepare_reference(content: bytes, max_s: float) -> PreparedReference:
    """A recording with half a second of silence at its end, as a file that workers read.

    A file that needs no change stays. Raises `InvalidRequest` if it cannot be used.
    """
    sound = decode(content, max_s, param="reference.audio")
    warnings = tuple(
        DocumentWarning(f"reference_{code}", f"of the reference, {message}", "reference")
        for code, message in sound.warnings()
    )
    samples = sound.mono
    loud = np.flatnonzero(is_loud(levels_of(samples, sound.rate)))
    speech_end = (int(loud[-1]) + 1) * (sound.rate // FRAMES_PER_S)
    missing = int(END_SILENCE_S * sound.rate) - (len(samples) - speech_end)
    if sound.is_plain and not warnings and missing <= 0:
        return PreparedReference(content, (), keeps_text=True)
    padded = np.pad(samples, (0, max(0, missing)))
    peak = max(1.0, float(np.abs(padded).max()))  # float files may exceed full scale
    file = io.BytesIO()
    soundfile.write(file, padded / np.float32(peak), sound.rate, subtype="PCM_16", format="WAV")
    return PreparedReference(file.getvalue(), warnings, keeps_text=not sound.is_cut)


def levels_of(samples: Samples, rate: int) -> Levels:
    """The level of each 20 ms of samples [n] in dB, 0 being a square wave at full scale."""
    size = rate // FRAMES_PER_S
    frames = np.pad(samples, (0, -len(samples) % size)).reshape(-1, size)
    energy = np.einsum("ij,ij->i", frames, frames, dtype=np.float64)
    level: Levels = np.sqrt(energy / size)
    decibels: Levels = 20 * np.log10(np.maximum(level, MIN_LEVEL))
    return decibels


def is_loud(levels: Levels) -> NDArray[np.bool_]:
    """True of each frame that is not silence."""
    loud: NDArray[np.bool_] = levels > levels.max() - SILENCE_DB
    return loud


def decode(content: bytes, max_s: float, *, param: str) -> Sound:
    """Decode a sound file, of a longer one the start up to a pause; raises `InvalidRequest`."""
    try:
        found = decode_start(content, max_s)
    except UnusableAudio as error:
        raise _bad(str(error), param) from None
    seconds = len(found.samples) / found.rate
    if seconds < MIN_S:
        raise _bad(
            f"it lasts {seconds:.2f} s; {MIN_S} to {max_s:.0f} s can be used, 10 s is best", param
        )
    sound = Sound(*found)
    peak = np.abs(sound.samples).max(initial=0.0)
    if not MIN_PEAK <= peak <= MAX_PEAK:  # a peak that is not a number is neither
        raise _bad("it is silent or damaged", param)
    if not sound.is_cut:
        return sound
    end = _last_pause(levels_of(sound.mono, sound.rate)) * (sound.rate // FRAMES_PER_S)
    return sound._replace(samples=sound.samples[:end])


def _last_pause(levels: Levels) -> int:
    """The middle frame of the last pause of the second half."""
    half = len(levels) // 2
    windows = np.convolve(levels[half:], np.full(PAUSE_FRAMES, 1 / PAUSE_FRAMES), "valid")
    if not len(windows):
        return len(levels)
    quiet = np.flatnonzero(windows <= windows.min() + PAUSE_DB)
    return half + int(quiet[-1]) + PAUSE_FRAMES // 2


def _bad(why: str, param: str) -> InvalidRequest:
    return InvalidRequest(
        f"the reference is of no use: {why}. Send {READABLE_FORMATS}", param=param
    )
