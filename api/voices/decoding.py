"""Decoding of recordings in any common format, up to a length; headers are not believed."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import NamedTuple

import av
import numpy as np
import soundfile
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray

# What libsndfile reads; all else is FFmpeg's.
SNDFILE_FORMATS = ("WAV", "WAVEX", "RF64", "FLAC", "OGG", "MP3", "AIFF", "CAF")
MAX_CHANNELS = 2
MIN_RATE, MAX_RATE = 8_000, 192_000
BLOCK_SAMPLES = 2**14
# FFmpeg's demuxer for the first bytes of a file: no other is tried, since some open further files.
_DEMUXERS = (
    (0, b"\x1a\x45\xdf\xa3", "matroska"),  # webm, mka
    (4, b"ftyp", "mov"),  # m4a, mp4, 3gp
    (0, bytes.fromhex("3026b2758e66cf11"), "asf"),  # wma
    (0, b"fLaC", "flac"),
    (0, b"OggS", "ogg"),
    (0, b"RIFF", "wav"),
    (0, b"RF64", "wav"),
    (0, b"FORM", "aiff"),
    (0, b"caff", "caf"),
    (0, b"#!AMR", "amr"),
    (0, b"\xff\xf1", "aac"),
    (0, b"\xff\xf9", "aac"),
    (0, b"ID3", "mp3"),
    (0, b"\xff", "mp3"),
)

Samples = NDArray[np.float32]


class UnusableAudio(Exception):
    """Raised when a file cannot be used; its text is the reason."""


class Decoded(NamedTuple):
    """Float32 samples [n, channels] at `rate` Hz, from the start of a file.

    `is_cut` if the file is longer, `is_damaged` if the rest of it could not be read, `is_plain` if
    libsndfile reads it, which workers have too.
    """

    samples: Samples
    rate: int
    is_cut: bool
    is_damaged: bool
    is_plain: bool


def decode_start(content: bytes, max_s: float) -> Decoded:
    """Decode at most `max_s` seconds of a file; raises `UnusableAudio`."""
    found, said = None, ""
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            if file.format not in SNDFILE_FORMATS:
                raise UnusableAudio(f"it is {file.format_info}")
            _check_form(file.channels, file.samplerate)
            found = _collect(_blocks(file), file.samplerate, max_s, is_plain=True)
    except soundfile.LibsndfileError as error:
        said = error.error_string.rstrip(".")
    # A file whose header says that it has no samples may have some.
    if found is not None and len(found.samples) and not found.is_damaged:
        return found
    try:
        other = _with_ffmpeg(content, max_s)
    except (av.FFmpegError, ValueError, LookupError, StopIteration):
        if found is None:
            raise UnusableAudio(f"it cannot be read as audio: {said}") from None
        return found
    return other if found is None or len(other.samples) >= len(found.samples) else found


def _blocks(file: soundfile.SoundFile) -> Iterator[Samples]:
    while len(block := file.read(BLOCK_SAMPLES, dtype="float32", always_2d=True)):
        yield block


def _with_ffmpeg(content: bytes, max_s: float) -> Decoded:
    head = content[:16]
    demuxer = next(name for at, mark, name in _DEMUXERS if head.startswith(mark, at))
    with av.open(io.BytesIO(content), "r", format=demuxer, metadata_errors="replace") as file:
        stream = file.streams.audio[0]
        _check_form(stream.channels, stream.rate or 0)
        layout = "mono" if stream.channels == 1 else "stereo"
        resampler = AudioResampler("flt", layout, stream.rate)
        blocks = (
            each.to_ndarray().reshape(-1, stream.channels).astype(np.float32, copy=False)
            for frame in file.decode(stream)
            for each in resampler.resample(frame)
        )
        return _collect(blocks, stream.rate, max_s, is_plain=False)


def _collect(blocks: Iterator[Samples], rate: int, max_s: float, *, is_plain: bool) -> Decoded:
    """Join blocks up to a length; an error after the first one ends them."""
    most, count = int(max_s * rate), 0
    found: list[Samples] = []
    is_damaged = False
    try:
        for block in blocks:
            found.append(block)
            count += len(block)
            if count > most:
                break
    except (soundfile.LibsndfileError, av.FFmpegError, ValueError):
        if not found:
            raise
        is_damaged = True
    samples = np.concatenate(found) if found else np.zeros((0, 1), np.float32)
    return Decoded(samples[:most], rate, count > most, is_damaged, is_plain)


def _check_form(channels: int, rate: int) -> None:
    if not 0 < channels <= MAX_CHANNELS or not MIN_RATE <= rate <= MAX_RATE:
        raise UnusableAudio(
            f"it has {channels} channels at {rate:,} Hz; up to {MAX_CHANNELS} at "
            f"{MIN_RATE:,} to {MAX_RATE:,} Hz can be used"
        )
