"""Uploaded recordings and references, as models get them, and the warnings about them."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from api.voices.recording import Recording, normalise_recording
from api.voices.reference_audio import prepare_reference
from shared.errors import InvalidRequest
from tests.support.audio_files import encoded

MOST_S = 60.0
WIDE = "油灯点亮了，很久没有人说话，也没有人动。"
# The last beat of `speechlike(4.0)` ends at 3.83 s; half a second of silence follows.
DURATION_S = 4.33
# At an ordinary pace, for four seconds.
SAID = "The lamp was lit, and nobody spoke for quite a while here."


def speechlike(seconds: float, rate: int = 24_000, level: float = 0.3) -> NDArray[np.float64]:
    """A tone in syllables: three beats a second, and next to nothing between them."""
    time_s = np.arange(int(seconds * rate)) / rate
    beats = np.maximum(np.sin(2 * np.pi * 3 * time_s), 0.0)
    tone = level * beats * np.sin(2 * np.pi * 220 * time_s)
    return tone + np.random.default_rng(0).normal(0, 1e-4, len(time_s))


def silence(seconds: float, rate: int = 24_000) -> NDArray[np.float64]:
    return np.zeros(int(seconds * rate))


def file_of(samples: NDArray[Any], rate: int = 24_000, kind: str = "WAV", **form: Any) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, **form)
    return file.getvalue()


def made(samples: NDArray[Any], rate: int = 24_000, text: str | None = SAID) -> Recording:
    return normalise_recording(file_of(samples, rate), text, MOST_S)


def codes(recording: Recording) -> list[str]:
    return [warning.code for warning in recording.warnings]


def heard(recording: Recording) -> NDArray[np.float64]:
    samples, rate = soundfile.read(io.BytesIO(recording.wav))
    assert (rate, samples.ndim) == (24_000, 1)
    assert len(samples) / rate == pytest.approx(recording.duration_s, abs=1e-3)
    return samples


def test_a_good_recording_stays_as_it_is_and_nothing_is_said_against_it() -> None:
    samples = speechlike(4.0)
    recording = made(samples)
    assert codes(recording) == []
    np.testing.assert_allclose(heard(recording)[: len(samples)], samples, atol=1e-4)


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3", "AIFF", "CAF"])
def test_every_format_is_heard(kind: str) -> None:
    recording = normalise_recording(file_of(speechlike(4.0), kind=kind), SAID, MOST_S)
    assert recording.duration_s == pytest.approx(DURATION_S, abs=0.1)
    assert np.abs(heard(recording)).max() == pytest.approx(0.3, abs=0.05)


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000, 96_000])
def test_every_rate_becomes_the_models_without_what_folds_back(rate: int) -> None:
    recording = made(speechlike(4.0, rate), rate)
    assert recording.duration_s == pytest.approx(DURATION_S, abs=0.1)
    time_s = np.arange(2 * rate) / rate
    mixed = 0.3 * np.sin(2 * np.pi * 1_000 * time_s)
    if rate > 26_000:  # no model hears 13 kHz, nor may it hear it as 11 kHz
        mixed += 0.3 * np.sin(2 * np.pi * 13_000 * time_s)
    spectrum = np.abs(np.fft.rfft(heard(made(mixed, rate))[4_000:28_000])) / 12_000
    assert spectrum[1_000] == pytest.approx(0.3, rel=0.02)
    assert spectrum[1_100:].max() < 1e-3


def test_two_channels_are_mixed() -> None:
    left, right = speechlike(4.0), 0.5 * speechlike(4.0)
    recording = made(np.stack([left, right], axis=1))
    assert np.abs(heard(recording)).max() == pytest.approx(0.225, abs=0.01)
    assert codes(recording) == []


def test_silence_at_the_ends_is_cut_off_but_for_a_moment() -> None:
    tone = 0.3 * np.sin(2 * np.pi * 220 * np.arange(48_000) / 24_000)
    recording = made(np.concatenate([silence(3), tone, silence(0.5), tone, silence(5)]))
    assert recording.duration_s == pytest.approx(0.08 + 4.5 + 0.5, abs=0.025)
    samples = heard(recording)
    assert np.abs(samples[:1_200]).max() < 1e-3 < np.abs(samples[1_200:2_400]).max()


def test_files_beyond_full_scale_are_not_cut_off() -> None:
    samples = 3 * speechlike(4.0)
    content = file_of(2 * samples, subtype="FLOAT")
    recording = normalise_recording(content, SAID, MOST_S)
    assert np.abs(heard(recording)).max() == pytest.approx(1.0, abs=1e-3)
    assert codes(recording) == ["clipping"]


@pytest.mark.parametrize(
    ("samples", "rate", "text", "expected"),
    [
        (speechlike(2.0), 24_000, "Two seconds of speech here.", ["short"]),
        (speechlike(31.0), 24_000, SAID * 8, ["long"]),
        (np.clip(speechlike(4.0, level=1.5), -1, 1), 24_000, SAID, ["clipping"]),
        (speechlike(4.0, level=0.01) / 10, 24_000, SAID, ["low_level"]),
        (
            speechlike(4.0) + np.random.default_rng(1).normal(0, 0.05, 96_000),
            24_000,
            SAID,
            ["noise"],
        ),
        (speechlike(4.0, 8_000), 8_000, SAID, ["narrow_band"]),
        (
            np.stack([speechlike(4.0), -0.2 * speechlike(4.0)], axis=1),
            24_000,
            SAID,
            ["channels_differ"],
        ),
        (speechlike(4.0), 24_000, None, ["no_ref_text"]),
        (speechlike(4.0), 24_000, "Hm.", ["ref_text_does_not_fit"]),
        (speechlike(4.0), 24_000, SAID * 10, ["ref_text_does_not_fit"]),
        (speechlike(4.0), 24_000, WIDE, []),
        (speechlike(4.0), 24_000, WIDE * 4, ["ref_text_does_not_fit"]),
        (np.concatenate([silence(3), speechlike(4.0), silence(3)]), 24_000, SAID, []),
    ],
)
def test_what_makes_a_voice_worse_is_said(
    samples: NDArray[Any], rate: int, text: str | None, expected: list[str]
) -> None:
    recording = made(samples, rate, text)
    assert codes(recording) == expected
    assert all(len(warning.message.split()) > 5 for warning in recording.warnings)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "cannot be read as audio"),
        (b"no audio at all" * 100, "cannot be read as audio"),
        (file_of(speechlike(4.0), kind="FLAC")[:60], "cannot be read as audio"),
        (file_of(silence(4.0)), "silent or damaged"),
        (file_of(np.full(96_000, np.nan), subtype="FLOAT"), "silent or damaged"),
        (file_of(np.concatenate([silence(2), speechlike(0.5), silence(2)])), "of sound in the"),
        (file_of(speechlike(0.4)), "lasts 0.40 s"),
        (file_of(speechlike(2.0), kind="VOC"), "VOC"),
        (file_of(np.zeros((24_000, 6))), "6 channels"),
    ],
)
def test_what_is_of_no_use_is_refused(content: bytes, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says) as refused:
        normalise_recording(content, None, MOST_S)
    assert refused.value.param == "audio_sample"


def flac_that_claims(samples: int, content: bytes) -> bytes:
    """A FLAC with another length in its header: the last 36 bits of bytes 18 to 25."""
    rest = int.from_bytes(content[18:26], "big") >> 36 << 36
    return content[:18] + (rest | samples).to_bytes(8, "big") + content[26:]


def unpacked_bytes(read: Callable[[], object]) -> int:
    """The most memory that was taken meanwhile."""
    tracemalloc.start()
    try:
        read()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_no_more_is_unpacked_of_a_small_file_than_the_limit() -> None:
    long = file_of(np.tile(speechlike(10.0, 8_000), 360), 8_000, "FLAC")
    assert unpacked_bytes(lambda: normalise_recording(long, SAID, MOST_S)) < 2**25


@pytest.mark.parametrize("claimed", [0, 48_000, 2**36 - 1])
def test_a_length_that_a_header_claims_is_not_believed(claimed: int) -> None:
    content = flac_that_claims(claimed, file_of(speechlike(4.0), kind="FLAC"))
    recording = normalise_recording(content, SAID, MOST_S)
    assert recording.duration_s == pytest.approx(2.33 if claimed == 48_000 else DURATION_S, abs=0.1)


def test_a_wav_whose_header_says_that_it_is_empty_is_measured() -> None:
    content = bytearray(file_of(speechlike(4.0)))
    place = content.index(b"data") + 4
    content[place : place + 4] = bytes(4)
    recording = normalise_recording(bytes(content), SAID, MOST_S)
    assert recording.duration_s == pytest.approx(DURATION_S, abs=0.1)


@pytest.mark.parametrize(
    ("kind", "codec"),
    [
        *(("ipod", "aac"), ("ipod", "alac"), ("mp4", "aac"), ("3gp", "aac"), ("adts", "aac")),
        *(("webm", "libopus"), ("matroska", "libopus"), ("ogg", "libopus"), ("asf", "wmav2")),
        *(("aiff", "pcm_s16be"), ("caf", "pcm_s16le"), ("caf", "alac"), ("mp3", "libmp3lame")),
    ],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_what_telephones_and_browsers_record_is_heard(kind: str, codec: str, channels: int) -> None:
    samples = np.stack([speechlike(4.0)] * channels, axis=1).squeeze()
    recording = normalise_recording(encoded(samples, kind, codec), SAID, MOST_S)
    assert codes(recording) == []
    assert recording.duration_s == pytest.approx(DURATION_S, abs=0.15)
    assert np.abs(heard(recording)).max() == pytest.approx(0.3, abs=0.05)


@pytest.mark.parametrize("name", ["hls", "concat", "sdp"])
def test_no_file_is_read_that_may_name_others(name: str) -> None:
    content = {
        "hls": b"#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n",
        "concat": b"ffconcat version 1.0\nfile /etc/hostname\n",
        "sdp": b"v=0\nm=audio 5004 RTP/AVP 0\n",
    }[name]
    with pytest.raises(InvalidRequest, match="cannot be read as audio"):
        normalise_recording(content, None, MOST_S)


def test_what_can_be_read_of_a_damaged_file_is_used() -> None:
    content = encoded(speechlike(8.0), "webm", "libopus")
    recording = normalise_recording(content[: len(content) // 2], SAID, MOST_S)
    assert recording.duration_s == pytest.approx(4.3, abs=0.4)


@pytest.mark.parametrize(("left", "right"), [(1.0, -1.0), (0.5, -0.55), (-1.0, 0.9)])
def test_of_channels_that_cancel_one_is_used(left: float, right: float) -> None:
    samples = np.stack([left * speechlike(4.0), right * speechlike(4.0)], axis=1)
    recording = made(samples)
    assert codes(recording) == ["channels_cancel"]
    loudest = 0.3 * max(abs(left), abs(right))
    assert np.abs(heard(recording)).max() == pytest.approx(loudest, abs=0.01)


@pytest.mark.parametrize("limit_s", [10.0, 12.4, 20.0])
def test_a_long_recording_is_cut_in_a_pause(limit_s: float) -> None:
    sentence = np.concatenate([speechlike(2.83), silence(0.67)])  # pauses at 2.8, 6.3, 9.8 …
    samples = np.tile(sentence, 10) + np.random.default_rng(2).normal(0, 1e-4, 35 * 24_000)
    recording = normalise_recording(file_of(samples), SAID, limit_s)
    assert codes(recording)[0] == "trimmed"
    assert recording.text is None
    sentences = int((limit_s + 0.4) / 3.5)
    speech_s = sentences * 3.5 - 0.67
    assert recording.duration_s == pytest.approx(speech_s + 0.5, abs=0.2)


@pytest.mark.parametrize("silence_s", [0.0, 0.2, 0.5, 3.0])
def test_a_reference_ends_with_half_a_second_of_silence(silence_s: float) -> None:
    tone = 0.3 * np.sin(2 * np.pi * 220 * np.arange(32_000) / 16_000)
    content = file_of(np.concatenate([tone, silence(silence_s, 16_000)]), 16_000)
    prepared = prepare_reference(content, MOST_S)
    samples, rate = soundfile.read(io.BytesIO(prepared.content))
    assert (rate, len(samples)) == (16_000, 32_000 + int(max(0.5, silence_s) * 16_000))
    np.testing.assert_allclose(samples[:32_000], tone, atol=1e-4)
    assert not np.abs(samples[32_000:]).max() > 1e-4
    assert (prepared.content == content) == (silence_s >= 0.5)
    assert (prepared.warnings, prepared.keeps_text) == ((), True)


def test_a_reference_that_workers_cannot_read_becomes_a_wav() -> None:
    samples = np.concatenate([speechlike(4.0), silence(1)])
    unknown = flac_that_claims(0, file_of(samples, kind="FLAC"))
    for content in (encoded(samples, "ipod", "aac"), unknown):
        prepared = prepare_reference(content, MOST_S)
        found, rate = soundfile.read(io.BytesIO(prepared.content))
        assert len(found) / rate == pytest.approx(5.0, abs=0.1)
        assert (prepared.warnings, prepared.keeps_text) == ((), True)


def test_what_is_left_out_of_a_reference_is_said() -> None:
    samples = np.stack([speechlike(30.0), -speechlike(30.0)], axis=1)
    prepared = prepare_reference(file_of(samples), 10.0)
    told = [warning.code for warning in prepared.warnings]
    assert told == ["reference_trimmed", "reference_channels_cancel"]
    assert not prepared.keeps_text
    samples, rate = soundfile.read(io.BytesIO(prepared.content))
    assert samples.ndim == 1
    assert 5 < len(samples) / rate <= 10.5
