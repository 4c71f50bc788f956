"""Segments joined: every sample, every pause, every format."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from shared.audio import writers
from shared.audio.fades import FADE_SAMPLES
from shared.audio.wav import encode_wav
from shared.errors import ObjectNotFound, Unavailable
from shared.formats import Format
from shared.jobs import ChapterStart, Job, Outline, SpeechSpec, SpokenSegment, Status
from shared.speech_model import SAMPLE_RATE, Task
from shared.storage import Storage
from shared.storage_paths import chapter_key, timings_key
from shared.timings import Timings
from tests.support.pictures import jpeg, png
from worker.join import join_job, join_segments, timeline

Pcm = np.ndarray


def segment(
    index: int, samples: int, pause_s: float = 0.0, *, truncated: bool = False
) -> SpokenSegment:
    return SpokenSegment(
        text=f"Number {index}.",
        start=10 * index,
        end=10 * index + 10,
        pause_s=pause_s,
        key=str(index),
        samples=samples,
        truncated=truncated,
    )


def hum(samples: int, level: float = 0.5) -> Pcm:
    """A tone that begins and ends in mid-wave."""
    return (level * np.cos(np.arange(samples) * 2 * np.pi * 220 / SAMPLE_RATE)).astype(np.float32)


def join(
    parts: Sequence[Pcm], pauses: Sequence[float], path: Path, kind: Format = Format.WAV
) -> int:
    segments = [
        segment(index, len(part), pause)
        for index, (part, pause) in enumerate(zip(parts, pauses, strict=True))
    ]
    wavs = {str(index): encode_wav(part) for index, part in enumerate(parts)}
    return join_segments(segments, wavs.__getitem__, path, kind)


def heard(path: Path) -> Pcm:
    samples, rate = soundfile.read(path, dtype="int16")
    assert rate == SAMPLE_RATE
    return samples


@given(
    lengths=st.lists(st.integers(0, 700), min_size=1, max_size=6),
    pauses=st.lists(st.floats(0, 0.05, allow_subnormal=False), min_size=6, max_size=6),
    kind=st.sampled_from([Format.WAV, Format.FLAC]),
)
def test_a_joined_file_is_as_long_as_its_parts_to_the_sample(
    tmp_path_factory: pytest.TempPathFactory,
    lengths: list[int],
    pauses: list[float],
    kind: Format,
) -> None:
    path = tmp_path_factory.mktemp("join") / f"a.{kind}"
    parts, pauses = [hum(length, 1.0) for length in lengths], pauses[: len(lengths)]
    expected = sum(lengths) + sum(round(pause * SAMPLE_RATE) for pause in pauses)
    assert join(parts, pauses, path, kind) == expected
    if expected:
        assert len(heard(path)) == expected


def test_one_segment_stays_as_it_is(tmp_path: Path) -> None:
    part = np.array([1, -1, 0.5, -0.5] * 300, np.float32)
    join([part], [0], tmp_path / "a.wav")
    assert (tmp_path / "a.wav").read_bytes() == encode_wav(part)


def test_parts_meet_without_a_click_and_keep_their_loudness(tmp_path: Path) -> None:
    parts = [hum(24_000), hum(24_000), hum(24_000)]
    join(parts, [0, 0.5, 0], tmp_path / "a.wav")
    samples = heard(tmp_path / "a.wav").astype(float) / 32_768
    slope = 0.5 * 2 * np.pi * 220 / SAMPLE_RATE  # the steepest that the tone itself is
    fade = 0.5 * np.pi / FADE_SAMPLES / 2
    assert np.abs(np.diff(samples)).max() < slope + fade
    assert not samples[48_000:60_000].any()
    inner = slice(FADE_SAMPLES, -FADE_SAMPLES)
    np.testing.assert_allclose(samples[24_000:48_000][inner], parts[1][inner], atol=1e-4)
    np.testing.assert_allclose(samples[:100], parts[0][:100], atol=1e-4)
    np.testing.assert_allclose(samples[-100:], parts[2][-100:], atol=1e-4)


@pytest.mark.parametrize("kind", list(Format))
def test_every_format_can_be_read_again(tmp_path: Path, kind: Format) -> None:
    path = tmp_path / f"a.{kind}"
    join([hum(60_000)] * 3, [0.5, 0.5, 0], path, kind)
    with av.open(str(path)) as file:
        stream = file.streams.audio[0]
        frames = [frame.to_ndarray() for frame in file.decode(stream)]
        rate = stream.rate
    samples = np.concatenate([frame.reshape(-1) for frame in frames]).astype(float)
    assert len(samples) / rate == pytest.approx(8.5, abs=0.1)
    samples /= 32_768 if frames[0].dtype.kind == "i" else 1
    loud = np.sqrt(np.mean(samples[rate : 2 * rate] ** 2))
    assert loud == pytest.approx(0.5 / np.sqrt(2), rel=0.05)
    spectrum = np.abs(np.fft.rfft(samples[rate : 2 * rate]))
    assert abs(int(spectrum.argmax()) - 220) <= 1
    pause = samples[int(2.6 * rate) : int(2.9 * rate)]
    assert np.abs(pause).max() < 0.02


def test_what_does_not_fit_into_a_wav_is_rf64(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = hum(1_000)
    monkeypatch.setattr(writers, "MAX_WAV_BYTES", 3_999)
    join([part, part], [0, 0], tmp_path / "long.wav")
    join([part], [0], tmp_path / "short.wav")
    assert (tmp_path / "long.wav").read_bytes()[:4] == b"RF64"
    assert len(heard(tmp_path / "long.wav")) == 2_000
    assert (tmp_path / "short.wav").read_bytes()[:4] == b"RIFF"


@pytest.mark.parametrize("kind", list(Format))
def test_a_disk_that_is_full_is_waited_for(kind: Format) -> None:
    with pytest.raises(Unavailable, match="could not be written"):
        join([hum(240_000)] * 20, [0] * 20, Path("/dev/full"), kind)


def test_the_timeline_is_that_of_the_joined_file() -> None:
    segments = [segment(0, 24_000, 0.5), segment(1, 12_000, 1.0), segment(2, 6_000, truncated=True)]
    outline = Outline(chapters=(ChapterStart("One", 1), ChapterStart("Two", 2)))
    told = timeline(segments, outline)
    assert [(each.start_s, each.end_s) for each in told.segments] == [(0, 1), (1.5, 2), (3, 3.25)]
    assert [each.chapter for each in told.segments] == [None, 0, 1]
    assert [each.truncated for each in told.segments] == [False, False, True]
    assert [(each.title, each.start_s, each.end_s) for each in told.chapters] == [
        ("One", 1.5, 3),
        ("Two", 3, 3.25),
    ]
    assert told.duration_s == 3.25
    assert timeline(segments, Outline()).chapters == ()


def job(
    kind: Format, *, chapter_files: bool = False, outline: Outline, voice: str | None = None
) -> Job:
    spec = SpeechSpec(
        task=Task.CUSTOM_VOICE,
        model="m",
        voice=voice,
        response_format=kind,
        chapter_files=chapter_files,
    )
    return Job(
        id="j",
        status=Status.IN_PROGRESS,
        spec=spec,
        outline=outline,
        seen_at=0,
        created_at=0,
        total=3,
    )


def test_an_audiobook_has_chapters_and_says_what_it_is(storage: Storage, tmp_path: Path) -> None:
    chapters = (ChapterStart("The First", 1), ChapterStart("Das Zweite: Ä", 2))
    outline = Outline(title="A Book", author="Somebody", chapters=chapters)
    segments = [segment(n, 48_000, 0.5) for n in range(3)]
    wav = encode_wav(hum(48_000))
    joined = join_job(job(Format.M4B, outline=outline), segments, 7, storage, lambda _: wav)
    assert joined.samples == 3 * 60_000
    content = storage.get(joined.key)
    assert joined.size_bytes == len(content)
    path = tmp_path / "book.m4b"
    path.write_bytes(content)
    with av.open(str(path)) as file:
        assert (file.metadata["title"], file.metadata["artist"]) == ("A Book", "Somebody")
        marks = [
            (each["metadata"]["title"], float(each["start"] * each["time_base"]))
            for each in file.chapters()
        ]
    assert marks == [("A Book", 0), ("The First", 2.5), ("Das Zweite: Ä", 5.0)]
    told = Timings.model_validate_json(storage.get(timings_key(joined.key)))
    assert told.duration_s == 7.5


@pytest.mark.parametrize("kind", [Format.M4B, Format.MP3, Format.FLAC, Format.OPUS])
@pytest.mark.parametrize("cover", [png(), jpeg(), None])
def test_a_file_says_what_it_is(storage: Storage, kind: Format, cover: bytes | None) -> None:
    chapters = (ChapterStart("The First & Last", 1), ChapterStart("Das Zweite: Ä", 2))
    outline = Outline(
        title="Salt & Iron",
        author="Ann Other",
        date="1905",
        description="Of a lamp.",
        language="german",
        cover="cover",
        chapters=chapters,
    )
    book = job(kind, chapter_files=True, outline=outline, voice="ono_anna")
    segments = [segment(n, 24_000, 0.5) for n in range(3)]
    wav = encode_wav(hum(24_000))

    def stored(key: str) -> bytes:
        if key == "cover" and cover is None:
            raise ObjectNotFound("it is gone")
        return cover if key == "cover" and cover else wav

    joined = join_job(book, segments, 7, storage, stored)
    common = {
        "album": "Salt & Iron",
        "artist": "Ann Other",
        "album_artist": "Ann Other",
        "composer": "Ono Anna",
        "date": "1905",
        "genre": "Audiobook",
        "language": "deu",
    }
    tags, marks, picture = read_tags(storage.get(joined.key))
    assert tags.items() >= ({"title": "Salt & Iron"} | common).items()
    assert "Of a lamp." in (tags.get("description"), tags.get("comment"))
    assert marks == [("Salt & Iron", 0), ("The First & Last", 1.5), ("Das Zweite: Ä", 3.0)]
    assert picture == cover
    tags, marks, picture = read_tags(storage.get(chapter_key(joined.key, 2)))
    track = {"track": "2/2"} if kind in (Format.M4B, Format.MP3) else {"track": "2"}
    assert tags.items() >= ({"title": "Das Zweite: Ä"} | common | track).items()
    assert (marks, picture) == ([], cover)


def read_tags(content: bytes) -> tuple[dict[str, str], list[tuple[str, float]], bytes | None]:
    """The tags of a file and of its stream, its chapters and its cover."""
    with av.open(io.BytesIO(content)) as file:
        tags = file.metadata | file.streams.audio[0].metadata
        marks = [
            (each["metadata"]["title"], float(each["start"] * each["time_base"]))
            for each in file.chapters()
        ]
        pictures = [
            bytes(packet)
            for packet in (file.demux(file.streams.video) if file.streams.video else ())
            if packet.size
        ]
    return tags, marks, next(iter(pictures), None)


def test_each_chapter_is_a_file_of_its_own(storage: Storage) -> None:
    outline = Outline(chapters=(ChapterStart("One", 1), ChapterStart("Two", 2)))
    segments = [segment(n, 1_000 * (n + 1), 0.1) for n in range(3)]
    wavs = {str(n): encode_wav(hum(1_000 * (n + 1))) for n in range(3)}
    asked = job(Format.WAV, chapter_files=True, outline=outline)
    joined = join_job(asked, segments, 7, storage, wavs.__getitem__)
    sizes = [len(storage.get(chapter_key(joined.key, number))) for number in range(3)]
    assert sizes == [44 + 2 * (1_000 * (n + 1) + 2_400) for n in range(3)]
