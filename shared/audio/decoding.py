"""Samples of any format that we write, as its bytes come."""

from __future__ import annotations

from collections.abc import Iterator

import av
from av.audio.resampler import AudioResampler

from shared.audio.wav import Pcm
from shared.jobs import SAMPLE_RATE


def decode(content: Iterator[bytes]) -> Iterator[Pcm]:
    """The int16 samples [n] at 24 kHz of a file of one track, in short pieces."""
    # Opus comes out at 48 kHz, whatever went in.
    resampler = AudioResampler("s16", "mono", SAMPLE_RATE)
    with av.open(_Pipe(content), "r") as file:
        for frame in file.decode(audio=0):
            yield from _pcm(resampler, frame)
        yield from _pcm(resampler, None)


def _pcm(resampler: AudioResampler, frame: av.AudioFrame | None) -> Iterator[Pcm]:
    for each in resampler.resample(frame):
        yield each.to_ndarray()[0]


class _Pipe:
    """Bytes in order, as FFmpeg asks for them."""

    def __init__(self, content: Iterator[bytes]) -> None:
        self._content, self._rest = content, b""

    def read(self, size: int) -> bytes:
        """Some bytes, `size` at most; none at the end."""
        while not self._rest:
            self._rest = next(self._content, b"")
            if not self._rest:
                return b""
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken
