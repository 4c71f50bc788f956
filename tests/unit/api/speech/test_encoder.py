"""Sound that goes out before its end is known."""

from __future__ import annotations

import io
import struct
import wave
from collections.abc import Iterator

import av
import numpy as np
import pytest
import soundfile

from api.speech.encoder import FORMATS_WITH_LENGTH, SpeechEncoder, encode_whole
from shared.audio.wav import Pcm
from shared.formats import SpeechFormat

RATE, CHUNK = 24_000, 4 * 1_920
# What each codec adds at the beginning and the end, at the most.
SLACK_S = {
    SpeechFormat.MP3: 0.1,
    SpeechFormat.AAC: 0.1,
    SpeechFormat.OPUS: 0.03,
    SpeechFormat.FLAC: 0,
    SpeechFormat.WAV: 0,
    SpeechFormat.PCM: 0,
}


def tone(seconds: float, hz: float = 440) -> Pcm:
    time_s = np.arange(int(seconds * RATE)) / RATE
    return (9_000 * np.sin(2 * np.pi * hz * time_s)).astype(np.int16)


def pieces(pcm: Pcm) -> Iterator[Pcm]:
    for first in range(0, len(pcm), CHUNK):
        yield pcm[first : first + CHUNK]


def sent(pcm: Pcm, kind: SpeechFormat, speed: float = 1.0) -> bytes:
    stream = SpeechEncoder(kind, speed)
    return b"".join([*(stream.add(piece) for piece in pieces(pcm)), stream.close()])


def decoded(content: bytes, kind: SpeechFormat) -> tuple[np.ndarray, int]:
    if kind is SpeechFormat.PCM:
        return np.frombuffer(content, "<i2"), RATE
    if kind is SpeechFormat.WAV:
        return soundfile.read(io.BytesIO(content), dtype="int16")
    with av.open(io.BytesIO(content)) as file:
        frames = list(file.decode(audio=0))
    return np.concatenate([frame.to_ndarray()[0] for frame in frames]), frames[0].sample_rate


def pitch_hz(samples: np.ndarray, rate: int) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum)) * rate / len(samples)


@pytest.mark.parametrize("kind", SpeechFormat)
def test_what_is_decoded_is_what_was_sent(kind: SpeechFormat) -> None:
    heard, rate = decoded(sent(tone(2), kind), kind)
    assert len(heard) / rate == pytest.approx(2, abs=SLACK_S[kind] + 1e-9)
    assert pitch_hz(heard, rate) == pytest.approx(440, abs=2)
    if not SLACK_S[kind]:
        np.testing.assert_array_equal(heard, tone(2))


@pytest.mark.parametrize("kind", SpeechFormat)
def test_each_chunk_goes_out_before_the_next_one_is_there(kind: SpeechFormat) -> None:
    stream = SpeechEncoder(kind)
    content = b""
    for number, piece in enumerate(pieces(tone(2)), 1):
        content += stream.add(piece)
        # A codec keeps back what it looks ahead at; flac's frames are of 0.2 s.
        heard, rate = decoded(content, kind)
        assert len(heard) / rate > number * len(piece) / RATE - 0.25


@pytest.mark.parametrize("speed", [1, 0.5, 2])
@pytest.mark.parametrize("kind", FORMATS_WITH_LENGTH)
def test_a_whole_file_knows_its_length(kind: SpeechFormat, speed: float) -> None:
    content = encode_whole(list(pieces(tone(1))), kind, speed)
    with soundfile.SoundFile(io.BytesIO(content)) as file:
        known = len(file)
        samples = file.read(dtype="int16")
    assert known == len(samples) == pytest.approx(RATE / speed, rel=0.03)
    if speed == 1:
        np.testing.assert_array_equal(samples, tone(1))
    if kind is SpeechFormat.WAV:
        with wave.open(io.BytesIO(content)) as file:
            assert file.getnframes() == known
        assert struct.unpack("<I", content[4:8])[0] == len(content) - 8


def test_a_stream_does_not_claim_a_length() -> None:
    content = sent(tone(0.5), SpeechFormat.WAV)
    assert content[4:8] == content[40:44] == b"\xff" * 4
    flac = sent(tone(0.5), SpeechFormat.FLAC)
    total = int.from_bytes(flac[18:26], "big") & (2**36 - 1)  # of the samples, in STREAMINFO
    assert total == 0
    whole = encode_whole([tone(0.5)], SpeechFormat.FLAC)
    assert int.from_bytes(whole[18:26], "big") & (2**36 - 1) == RATE // 2


@pytest.mark.parametrize("speed", [1, 0.5])
@pytest.mark.parametrize("kind", SpeechFormat)
def test_silence_gives_bytes_at_once_and_changes_nothing_else(
    kind: SpeechFormat, speed: float
) -> None:
    stream = SpeechEncoder(kind, speed)
    before = [stream.add_silence() for _ in range(3)]
    heard = stream.add(tone(0.5))
    between = stream.add_silence()
    assert all([*before, between])
    content = b"".join([*before, heard, between, stream.add(tone(0.5)), stream.close()])
    samples, rate = decoded(content, kind)
    assert len(samples) / rate == pytest.approx(0.4 + 1 / speed, abs=SLACK_S[kind] + 0.06)
    assert abs(samples[: rate // 5].astype(float)).max() < 1e-3 * abs(samples.astype(float)).max()
    if not SLACK_S[kind] and speed == 1:
        silence = np.zeros(2_400, np.int16)
        half = tone(0.5)
        expected = [silence, silence, silence, half, silence, half]
        np.testing.assert_array_equal(samples, np.concatenate(expected))


@pytest.mark.parametrize("speed", [0.25, 0.8, 2, 4])
def test_speed_changes_the_length_and_keeps_the_pitch(speed: float) -> None:
    heard, rate = decoded(sent(tone(4), SpeechFormat.PCM, speed), SpeechFormat.PCM)
    assert len(heard) / rate == pytest.approx(4 / speed, rel=0.03)
    assert pitch_hz(heard, rate) == pytest.approx(440, abs=4)


@pytest.mark.parametrize("speed", [0.25, 4])
def test_with_another_speed_sound_goes_out_at_once_too(speed: float) -> None:
    assert SpeechEncoder(SpeechFormat.PCM, speed).add(tone(0.32))
