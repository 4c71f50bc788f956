"""Streaming encoder over FFmpeg's libraries, into a file or a sink of bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Protocol

import av
from av.audio.stream import AudioStream
from av.container import OutputContainer

from shared.audio.wav import Pcm
from shared.speech_model import SAMPLE_RATE

TIME_BASE = Fraction(1, SAMPLE_RATE)


class Sink(Protocol):
    """A writer of bytes in order, without seeking."""

    def write(self, content: bytes) -> int:
        """Take some bytes; returns how many."""
        ...


@dataclass(frozen=True)
class Encoding:
    """FFmpeg's container, codec and bit rate for a format; mono speech needs a low bit rate."""

    container: str
    codec: str
    bits_per_s: int | None = None
    options: Mapping[str, str] = field(default_factory=dict)


class Encoder:
    """A container of one track; raises `OSError` if it cannot write."""

    def __init__(self, to: str | Sink, encoding: Encoding) -> None:
        self.container: OutputContainer = av.open(
            to, "w", format=encoding.container, container_options=dict(encoding.options)
        )
        stream = self.container.add_stream(encoding.codec, rate=SAMPLE_RATE, layout="mono")
        assert isinstance(stream, AudioStream)
        self._stream, self._written = stream, 0
        if encoding.bits_per_s:
            self._stream.bit_rate = encoding.bits_per_s

    def write(self, samples: Pcm) -> None:
        """Append int16 samples [n]."""
        if len(samples):
            self.container.mux(self._stream.encode(frame_of(samples, self._written)))
            self._written += len(samples)

    def finish(self) -> None:
        """Write the samples that the codec has buffered."""
        self.container.mux(self._stream.encode(None))

    def close(self) -> None:
        """Write the container's end."""
        self.container.close()


def frame_of(samples: Pcm, at: int) -> av.AudioFrame:
    """FFmpeg's frame of int16 samples [n], n > 0; `at` is the number of the first sample."""
    frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
    frame.sample_rate, frame.time_base, frame.pts = SAMPLE_RATE, TIME_BASE, at
    return frame
