"""The last step of a job: its segments become the files that clients fetch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from shared.audio.writers import Tags
from shared.errors import Unavailable
from shared.jobs import Job, Outline, SpokenSegment
from shared.places import audio_key, chapter_key, timings_key
from shared.storage import Storage
from shared.timings import ChapterTiming, Timings
from worker import audio


class Joined(NamedTuple):
    """Where a job's audio lies, and how large it is."""

    key: str
    samples: int
    size_bytes: int


def join_job(
    job: Job,
    segments: Sequence[SpokenSegment],
    epoch: int,
    storage: Storage,
    read: Callable[[str], bytes],
) -> Joined:
    """Store a job's audio, its timings and, if asked for, a file for each chapter.

    `read` gives a segment's WAV. Raises `Unavailable` if something cannot be written.
    """
    kind = job.spec.response_format
    key = audio_key(job.id, epoch, kind)
    timings = audio.timeline(segments, job.outline)
    with _temporary_folder() as folder:
        path = folder / f"audio.{kind}"
        if job.spec.chapter_files:
            for number, title, part in _chapters(segments, job.outline):
                audio.join(part, read, path, kind, Tags(title, job.outline.author))
                storage.put(chapter_key(key, number), path)
        tags = Tags(job.outline.title, job.outline.author, _marks(timings, job.outline))
        samples = audio.join(segments, read, path, kind, tags)
        storage.put(timings_key(key), timings.model_dump_json().encode())
        storage.put(key, path)
        return Joined(key, samples, path.stat().st_size)


def _marks(timings: Timings, outline: Outline) -> tuple[ChapterTiming, ...]:
    """The chapters, after one for what comes before the first: in an MP4 they begin at 0."""
    first = next(iter(timings.chapters), None)
    if first is None or first.start_s == 0:
        return timings.chapters
    title = outline.title or "…"
    front = ChapterTiming(index=-1, title=title, start_s=0, end_s=first.start_s)
    return (front, *timings.chapters)


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    try:
        folder = TemporaryDirectory()
    except OSError as error:
        raise Unavailable(f"there is no room for the audio: {error}") from error
    with folder as name:
        yield Path(name)


def _chapters(
    segments: Sequence[SpokenSegment], outline: Outline
) -> Iterator[tuple[int, str | None, Sequence[SpokenSegment]]]:
    """The number, title and segments of each chapter; number 0 is what comes before the first."""
    starts = [first for _, first in outline.chapters]
    titles = [outline.title, *(title for title, _ in outline.chapters)]
    for number, (first, end) in enumerate(pairwise([0, *starts, len(segments)])):
        if first < end:
            yield number, titles[number], segments[first:end]
