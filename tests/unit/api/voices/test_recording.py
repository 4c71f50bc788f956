"""What becomes of an uploaded recording, and what is said against it."""

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
from shared.errors import InvalidRequest

MOST_S = 60.0
WIDE = "油灯点亮了，很久没有人说话，也没有人动。"
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
    quiet_end = len(heard(recording))  # the last beat ends before the recording does
    np.testing.assert_allclose(heard(recording), samples[:quiet_end], atol=1e-4)


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3"])
def test_every_format_is_heard(kind: str) -> None:
    recording = normalise_recording(file_of(speechlike(4.0), kind=kind), SAID, MOST_S)
    assert recording.duration_s == pytest.approx(4.0, abs=0.3)
    assert np.abs(heard(recording)).max() == pytest.approx(0.3, abs=0.05)


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000, 96_000])
def test_every_rate_becomes_the_models_without_what_folds_back(rate: int) -> None:
    recording = made(speechlike(4.0, rate), rate)
    assert recording.duration_s == pytest.approx(4.0, abs=0.3)
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
    assert recording.duration_s == pytest.approx(4.5 + 2 * 0.08, abs=0.025)
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
        (file_of(speechlike(61.0, 8_000), 8_000), "lasts 61.00 s"),
        (file_of(speechlike(2.0), kind="AIFF"), "AIFF"),
        (file_of(np.zeros((24_000, 6))), "6 channels"),
    ],
)
def test_what_is_of_no_use_is_refused(content: bytes, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says) as refused:
        normalise_recording(content, None, MOST_S)
    assert refused.value.param == "audio_sample"


def flac_that_claims(samples: int, content: bytes) -> bytes:
    """The same FLAC with another length in its header: the last 36 bits of bytes 18 to 25."""
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


def refused_for_its_length(content: bytes) -> None:
    with pytest.raises(InvalidRequest, match="it lasts"):
        normalise_recording(content, None, MOST_S)


def test_a_small_file_that_claims_hours_is_refused_before_it_is_unpacked() -> None:
    long = file_of(np.zeros(3_600 * 8_000), 8_000, "FLAC")
    assert len(long) < 100_000
    short = file_of(speechlike(2.0), kind="FLAC")
    for content in (long, flac_that_claims(2**36 - 1, short)):
        assert unpacked_bytes(lambda content=content: refused_for_its_length(content)) < 1_000_000


def test_no_more_is_unpacked_than_a_header_that_lies_has_said() -> None:
    content = flac_that_claims(48_000, file_of(speechlike(90.0), kind="FLAC"))
    assert unpacked_bytes(lambda: normalise_recording(content, SAID, MOST_S)) < 5_000_000
