"""Streaming encoders: int16 samples in, bytes of a container out before its end is known."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator

import av
import numpy as np
from av.filter import Graph

from shared.audio.encoding import TIME_BASE, Encoder, Encoding, frame_of
from shared.audio.fades import EMPTY_PCM
from shared.audio.wav import Pcm
from shared.formats import SpeechFormat
from shared.speech_model import SAMPLE_RATE

# No container here rewrites its header at the end; Ogg pages of 0.1 s instead of 1 s.
ENCODINGS = {
    SpeechFormat.MP3: Encoding(
        "mp3", "libmp3lame", 64_000, {"write_xing": "0", "id3v2_version": "0"}
    ),
    SpeechFormat.OPUS: Encoding("ogg", "libopus", 32_000, {"page_duration": "100000"}),
    SpeechFormat.AAC: Encoding("adts", "aac", 64_000),
    SpeechFormat.FLAC: Encoding("flac", "flac"),
}
# FFmpeg's convention for an unknown length, which players understand.
UNKNOWN_LENGTH = 0xFFFFFFFF
WAV_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
# The formats whose header has the length, in the place where a stream cannot have it.
FORMATS_WITH_LENGTH = (SpeechFormat.WAV, SpeechFormat.FLAC)
# 0.1 s: more than a frame of each codec, and what it holds back at the start.
KEEP_ALIVE_SAMPLES = SAMPLE_RATE // 10
# FFmpeg's filter emits a frame once it has the next one; frames of 40 ms keep the delay short.
FILTER_FRAME_SAMPLES = SAMPLE_RATE * 40 // 1_000
# `atempo` skips samples above 2.0 and refuses factors below 0.5: chain filters instead.
MIN_STEP, MAX_STEP = 0.5, 2.0


class SpeechEncoder:
    """Encodes int16 samples [n] into a format, and emits bytes as early as its container allows."""

    def __init__(self, kind: SpeechFormat, speed: float = 1.0) -> None:
        self._tempo = Tempo(speed) if speed != 1 else None
        self._ready = bytearray(wav_header() if kind is SpeechFormat.WAV else b"")
        encoding = ENCODINGS.get(kind)
        self._encoder = Encoder(_Collector(self._ready), encoding) if encoding else None

    def add(self, pcm: Pcm) -> bytes:
        """Take the next samples; returns the bytes that are ready, perhaps none."""
        self._write(self._tempo.add(pcm) if self._tempo else pcm)
        return self._take()

    def add_silence(self) -> bytes:
        """Add `KEEP_ALIVE_SAMPLES` of silence, which give bytes at once in every format."""
        self._write(np.zeros(KEEP_ALIVE_SAMPLES, np.int16))
        return self._take()

    def close(self) -> bytes:
        """Return the last bytes, with the end of the container."""
        if self._tempo:
            self._write(self._tempo.close())
        if self._encoder:
            self._encoder.finish()
            self._encoder.close()
        return self._take()

    def _write(self, pcm: Pcm) -> None:
        if self._encoder:
            self._encoder.write(pcm)
        else:
            self._ready += pcm.astype("<i2").tobytes()

    def _take(self) -> bytes:
        taken = bytes(self._ready)
        self._ready.clear()
        return taken


def encode_whole(pieces: list[Pcm], kind: SpeechFormat, speed: float = 1.0) -> bytes:
    """A whole file of int16 samples [n]; unlike a stream's, its header has its length."""
    tempo = Tempo(speed) if speed != 1 else None
    if tempo:
        pieces = [*map(tempo.add, pieces), tempo.close()]
    pcm = np.concatenate(pieces)
    if kind is SpeechFormat.WAV:
        samples = pcm.astype("<i2").tobytes()
        return wav_header(len(samples)) + samples
    # FFmpeg goes back to the header of a file in which it can.
    file = io.BytesIO()
    encoder = Encoder(file, ENCODINGS[kind])
    encoder.write(pcm)
    encoder.finish()
    encoder.close()
    return file.getvalue()


def wav_header(size_bytes: int | None = None) -> bytes:
    """The header of a WAV with `size_bytes` of samples; None for a stream of unknown length."""
    riff_bytes = UNKNOWN_LENGTH
    if size_bytes is not None:
        riff_bytes = WAV_HEADER.size - 8 + size_bytes  # all but the first two fields
    return WAV_HEADER.pack(
        *(b"RIFF", riff_bytes, b"WAVE", b"fmt ", 16),
        *(1, 1, SAMPLE_RATE, 2 * SAMPLE_RATE, 2, 16),
        *(b"data", UNKNOWN_LENGTH if size_bytes is None else size_bytes),
    )


class _Collector:
    """Collects the bytes that FFmpeg writes."""

    def __init__(self, ready: bytearray) -> None:
        self._ready = ready

    def write(self, content: bytes) -> int:
        self._ready += content
        return len(content)


class Tempo:
    """FFmpeg's `atempo`, at the same pitch, over chunks of int16 samples; 2 is twice as fast."""

    def __init__(self, speed: float) -> None:
        self._graph, self._taken = Graph(), 0
        last = self._graph.add_abuffer(
            format="s16", sample_rate=SAMPLE_RATE, layout="mono", time_base=TIME_BASE
        )
        for step in _steps(speed):
            tempo = self._graph.add("atempo", f"{step:.6f}")
            last.link_to(tempo)
            last = tempo
        last.link_to(self._graph.add("abuffersink"))
        self._graph.configure()

    def add(self, pcm: Pcm) -> Pcm:
        """Take the next samples; returns the changed samples that are ready."""
        for first in range(0, len(pcm), FILTER_FRAME_SAMPLES):
            part = pcm[first : first + FILTER_FRAME_SAMPLES]
            self._graph.push(frame_of(part, self._taken))
            self._taken += len(part)
        return self._pull()

    def close(self) -> Pcm:
        """Return the last samples."""
        self._graph.push(None)
        return self._pull()

    def _pull(self) -> Pcm:
        return np.concatenate([EMPTY_PCM, *self._ready()])

    def _ready(self) -> Iterator[Pcm]:
        while True:
            try:
                frame = self._graph.pull()
            except (av.BlockingIOError, av.EOFError):
                return
            assert isinstance(frame, av.AudioFrame)
            yield frame.to_ndarray()[0]


def _steps(speed: float) -> list[float]:
    """Factors in the filter's bounds whose product is the speed: 4 → [2, 2], 0.3 → [0.5, 0.6]."""
    steps = []
    for most in (MAX_STEP, MIN_STEP):
        while (speed > most) if most > 1 else (speed < most):
            steps.append(most)
            speed /= most
    return [*steps, speed]
