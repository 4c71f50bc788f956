"""Reading WAVs and making recordings, as a user of the API would."""

from __future__ import annotations

import io
import wave
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile
from av.audio.stream import AudioStream
from numpy.typing import NDArray

Pcm = NDArray[np.int16]


def pcm(path: Path) -> Pcm:
    """The samples of a WAV, which must be 24 kHz, mono, 16 bit."""
    with wave.open(str(path)) as file:
        form = (file.getframerate(), file.getnchannels(), file.getsampwidth())
        assert form == (24_000, 1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")


def as_pcm(samples: Sequence[NDArray[np.float32]]) -> Pcm:
    """float32 pieces, joined and rounded as a 16 bit file rounds them."""
    file = io.BytesIO()
    soundfile.write(file, np.concatenate(samples), 24_000, subtype="PCM_16", format="WAV")
    file.seek(0)
    read: Pcm = soundfile.read(file, dtype="int16")[0]
    return read


def assert_same_sound(made: Pcm, expected: Pcm) -> None:
    """Equal but for the last bit: the codec adds up in another order than qwen-tts's."""
    assert len(made) == len(expected)
    np.testing.assert_allclose(made.astype(int), expected.astype(int), rtol=0, atol=1)


def recording(seconds: float = 3.0, rate: int = 24_000, silence_s: float = 0.0) -> bytes:
    """A wobbling tone with some breath in it, and silence after it, as a 16 bit WAV."""
    time_s = np.arange(int(seconds * rate)) / rate
    tone = np.sin(2 * np.pi * (180 + 40 * np.sin(3 * time_s)) * time_s)
    noise = np.random.default_rng(0).normal(0, 0.05, len(time_s))
    file = io.BytesIO()
    samples = np.pad(0.4 * tone + noise, (0, int(silence_s * rate)))
    soundfile.write(file, samples, rate, subtype="PCM_16", format="WAV")
    return file.getvalue()


def encoded(samples: NDArray[np.float64], kind: str, codec: str, rate: int = 24_000) -> bytes:
    """Samples [n] or [n, 2] in a container and a codec by FFmpeg's names."""
    layout = "stereo" if samples.ndim == 2 else "mono"
    pcm = (samples * 32_767).astype(np.int16).reshape(1, -1)
    file = io.BytesIO()
    with av.open(file, "w", format=kind) as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        assert isinstance(stream, AudioStream)
        stream.bit_rate = 64_000
        frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout=layout)
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()
