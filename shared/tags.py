"""The metadata of a job's finished files: of the whole, and of each chapter."""

from __future__ import annotations

from dataclasses import replace

from shared.audio.writers import Tags
from shared.jobs import Job
from shared.timings import Timings

# ISO 639-2, as MP4 and ID3 have it.
_LANGUAGE_CODES = {
    "chinese": "zho",
    "english": "eng",
    "french": "fra",
    "german": "deu",
    "italian": "ita",
    "japanese": "jpn",
    "korean": "kor",
    "portuguese": "por",
    "russian": "rus",
    "spanish": "spa",
}


def book_tags(job: Job, timings: Timings, cover: bytes | None) -> Tags:
    """The tags of a job's whole audio, with its chapters."""
    return replace(
        _common(job, cover),
        title=job.outline.title,
        chapters=timings.marks(job.outline.title),
    )


def chapter_tags(job: Job, number: int, title: str | None, cover: bytes | None) -> Tags:
    """The tags of a chapter's file: its title, its number, and how many there are.

    The front matter, number 0, has no number.
    """
    count = len(job.outline.chapters)
    track = f"{number}/{count}" if number else None
    return replace(_common(job, cover), title=title, track=track)


def _common(job: Job, cover: bytes | None) -> Tags:
    outline, reference = job.outline, job.spec.reference
    voice = reference.voice_name if reference else job.spec.voice
    language = job.spec.language if job.spec.language != "auto" else outline.language
    return Tags(
        album=outline.title,
        author=outline.author,
        narrator=voice if reference or not voice else voice.replace("_", " ").title(),
        date=outline.date,
        description=outline.description,
        language=_LANGUAGE_CODES.get(language or ""),
        cover=cover,
    )
