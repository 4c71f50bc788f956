"""Streaming decoder for every format that the service writes."""

from __future__ import annotations

from collections.abc import Iterator

import av
from av.audio.resampler import AudioResampler

from shared.audio.wav import Pcm
from shared.errors import AudioDamaged
from shared.speech_model import SAMPLE_RATE


def decode(content: Iterator[bytes]) -> Iterator[Pcm]:
    """Yield the int16 samples [n] at 24 kHz of a file with one track, in short chunks.

    Raises `AudioDamaged` at the first error; some decoders skip what they cannot read.
    """
    # Opus is always decoded at 48 kHz.
    resampler = AudioResampler("s16", "mono", SAMPLE_RATE)
    try:
        with av.open(_Pipe(content), "r") as file:
            for frame in file.decode(audio=0):
                yield from _pcm(resampler, frame)
            yield from _pcm(resampler, None)
    except av.FFmpegError as error:
        raise AudioDamaged(f"the stored audio cannot be read: {error.strerror}") from error


def _pcm(resampler: AudioResampler, frame: av.AudioFrame | None) -> Iterator[Pcm]:
    for each in resampler.resample(frame):
        yield each.to_ndarray()[0]


class _Pipe:
    """A readable file over chunks of bytes, for FFmpeg."""

    def __init__(self, content: Iterator[bytes]) -> None:
        self._content, self._rest = content, memoryview(b"")

    def read(self, size: int) -> bytes:
        """At most `size` bytes; empty at the end."""
        while not self._rest:
            self._rest = memoryview(next(self._content, b""))
            if not self._rest:
                return b""
        taken, self._rest = self._rest[:size], self._rest[size:]
        return bytes(taken)
