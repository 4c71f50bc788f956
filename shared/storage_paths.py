"""Storage keys of a job's files."""

from __future__ import annotations

from shared.formats import Format


def job_folder(job_id: str) -> str:
    """The folder of all files of a job."""
    return f"jobs/{job_id}"


def segments_folder(job_id: str) -> str:
    """The folder of a job's segments, deleted after its end; of a failed job, with the job."""
    return f"{job_folder(job_id)}/segments"


def reference_key(job_id: str) -> str:
    """The key of a job's clone reference, which is deleted with its segments."""
    return f"{segments_folder(job_id)}/reference"


def cover_key(job_id: str) -> str:
    """The key of the cover picture of a job's files."""
    return f"{job_folder(job_id)}/cover"


def audio_key(job_id: str, epoch: int, kind: Format) -> str:
    """The key of a job's audio, written by the join of an epoch; its other files lie beside it."""
    return f"{job_folder(job_id)}/{epoch}/audio.{kind}"


def chapter_key(audio: str, number: int) -> str:
    """The key of a chapter's file, numbered from 1; number 0 is the front matter."""
    folder, name = audio.rsplit("/", 1)
    return f"{folder}/chapter-{number}.{name.rsplit('.', 1)[1]}"


def transcoded_key(audio: str, kind: Format) -> str:
    """The key of the audio in another format: `…/audio.wav` → `…/audio.mp3`."""
    return f"{audio.rsplit('.', 1)[0]}.{kind}"


def timings_key(audio: str) -> str:
    """The key of timings.json, beside the audio."""
    return f"{audio.rsplit('/', 1)[0]}/timings.json"
