"""The last step of a job: its segments are joined into the files that clients fetch."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from shared.audio.fades import fade_edges, pause_samples
from shared.audio.wav import decode_wav
from shared.audio.writers import Tags, open_writer
from shared.errors import ObjectNotFound
from shared.formats import Format
from shared.jobs import Job, Outline, SpokenSegment
from shared.speech_model import SAMPLE_RATE
from shared.storage import Storage, temporary_folder
from shared.storage_paths import audio_key, chapter_key, timings_key
from shared.tags import book_tags, chapter_tags
from shared.timings import ChapterTiming, SegmentTiming, Timings

NO_TAGS = Tags()


class JoinedAudio(NamedTuple):
    """The storage key and the size of a job's audio."""

    key: str
    samples: int
    size_bytes: int


def join_job(
    job: Job,
    segments: Sequence[SpokenSegment],
    epoch: int,
    storage: Storage,
    read: Callable[[str], bytes],
) -> JoinedAudio:
    """Store a job's audio, its timings and, if asked for, a file for each chapter.

    `read` returns a segment's WAV, or the cover. Raises `Unavailable` if a file cannot be written.
    """
    kind = job.spec.response_format
    key = audio_key(job.id, epoch, kind)
    timings = timeline(segments, job.outline)
    cover = _cover(job, read)
    with temporary_folder() as folder:
        path = folder / f"audio.{kind}"
        if job.spec.chapter_files:
            for number, title, part in _split_chapters(segments, job.outline):
                tags = chapter_tags(job, number, title, cover)
                join_segments(part, read, path, kind, tags)
                storage.put(chapter_key(key, number), path)
        tags = book_tags(job, timings, cover)
        samples = join_segments(segments, read, path, kind, tags)
        storage.put(timings_key(key), timings.model_dump_json().encode())
        storage.put(key, path)
        return JoinedAudio(key, samples, path.stat().st_size)


def _cover(job: Job, read: Callable[[str], bytes]) -> bytes | None:
    """The cover of a job whose format has one; a file without it is better than none."""
    if job.outline.cover is None or job.spec.response_format is Format.WAV:
        return None
    with suppress(ObjectNotFound):
        return read(job.outline.cover)
    return None


def _split_chapters(
    segments: Sequence[SpokenSegment], outline: Outline
) -> Iterator[tuple[int, str | None, Sequence[SpokenSegment]]]:
    """The number, title and segments of each chapter; number 0 is the front matter."""
    starts = [first for _, first in outline.chapters]
    titles = [outline.title, *(title for title, _ in outline.chapters)]
    for number, (first, end) in enumerate(pairwise([0, *starts, len(segments)])):
        if first < end:
            yield number, titles[number], segments[first:end]


def join_segments(
    segments: Sequence[SpokenSegment],
    read: Callable[[str], bytes],
    path: Path,
    kind: Format = Format.WAV,
    tags: Tags = NO_TAGS,
) -> int:
    """Write segments and the pauses after them into a file; returns its length in samples.

    `read` returns the WAV under a key; one WAV is in memory at a time. Within the file, the edges
    of segments are faded, since speech may be cut off in mid-wave; the file's own edges, and all
    loudness, stay unchanged. Raises `Unavailable` if the file cannot be written.
    """
    samples = sum(segment.samples + pause_samples(segment.pause_s) for segment in segments)
    with open_writer(path, kind, samples, tags) as file:
        for index, segment in enumerate(segments):
            pcm, pause = decode_wav(read(segment.key)), pause_samples(segment.pause_s)
            assert len(pcm) == segment.samples
            is_last = index == len(segments) - 1 and not pause
            file.write(fade_edges(pcm, start=index > 0, end=not is_last))
            file.write(np.zeros(pause, np.int16))
    return samples


def timeline(segments: Sequence[SpokenSegment], outline: Outline) -> Timings:
    """The times of segments and chapters in the joined audio.

    A chapter lasts until the next one begins, the last one until the end.
    """
    starts = [first for _, first in outline.chapters]
    timed, at = [], 0
    for index, segment in enumerate(segments):
        chapter = bisect_right(starts, index) - 1
        timed.append(
            SegmentTiming(
                index=index,
                text=segment.text,
                start=segment.start,
                end=segment.end,
                start_s=_seconds(at),
                end_s=_seconds(at + segment.samples),
                chapter=chapter if chapter >= 0 else None,
                truncated=segment.truncated,
            )
        )
        at += segment.samples + pause_samples(segment.pause_s)
    duration_s = _seconds(at)
    return Timings(
        sample_rate=SAMPLE_RATE,
        duration_s=duration_s,
        segments=tuple(timed),
        chapters=_time_chapters(outline, timed, duration_s),
    )


def _time_chapters(
    outline: Outline, timed: Sequence[SegmentTiming], duration_s: float
) -> tuple[ChapterTiming, ...]:
    begins = [timed[first].start_s for _, first in outline.chapters]
    ends = [*begins, duration_s][1:]
    return tuple(
        ChapterTiming(index=index, title=title, start_s=start_s, end_s=end_s)
        for index, ((title, _), start_s, end_s) in enumerate(
            zip(outline.chapters, begins, ends, strict=True)
        )
    )


def _seconds(samples: int) -> float:
    return round(samples / SAMPLE_RATE, 6)
