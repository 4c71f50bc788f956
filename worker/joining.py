"""The last step of a job: its segments become the files that clients fetch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from shared.audio.writers import Tags
from shared.jobs import Job, Outline, SpokenSegment
from shared.storage import Storage, temporary_folder
from shared.storage_paths import audio_key, chapter_key, timings_key
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
    with temporary_folder() as folder:
        path = folder / f"audio.{kind}"
        if job.spec.chapter_files:
            for number, title, part in _chapters(segments, job.outline):
                audio.join(part, read, path, kind, Tags(title, job.outline.author))
                storage.put(chapter_key(key, number), path)
        tags = Tags(job.outline.title, job.outline.author, timings.marks(job.outline.title))
        samples = audio.join(segments, read, path, kind, tags)
        storage.put(timings_key(key), timings.model_dump_json().encode())
        storage.put(key, path)
        return Joined(key, samples, path.stat().st_size)


def _chapters(
    segments: Sequence[SpokenSegment], outline: Outline
) -> Iterator[tuple[int, str | None, Sequence[SpokenSegment]]]:
    """The number, title and segments of each chapter; number 0 is what comes before the first."""
    starts = [first for _, first in outline.chapters]
    titles = [outline.title, *(title for title, _ in outline.chapters)]
    for number, (first, end) in enumerate(pairwise([0, *starts, len(segments)])):
        if first < end:
            yield number, titles[number], segments[first:end]
