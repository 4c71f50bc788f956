"""Where everything of a job lies in the storage."""

from __future__ import annotations

from shared.formats import Format


def job_folder(job_id: str) -> str:
    """Where all files of a job lie in the storage."""
    return f"jobs/{job_id}"


def segments_folder(job_id: str) -> str:
    """Where a job's segments lie until they are joined."""
    return f"{job_folder(job_id)}/segments"


def reference_key(job_id: str) -> str:
    """Where a job's clone reference lies: with its segments, and no longer than they."""
    return f"{segments_folder(job_id)}/reference"


def audio_key(job_id: str, epoch: int, kind: Format) -> str:
    """Where the join of an epoch puts a job's audio; what belongs to it lies beside it."""
    return f"{job_folder(job_id)}/{epoch}/audio.{kind}"


def chapter_key(audio: str, number: int) -> str:
    """Where the file of a chapter lies, numbered from 1; 0 is what comes before the first."""
    folder, name = audio.rsplit("/", 1)
    return f"{folder}/chapter-{number}.{name.rsplit('.', 1)[1]}"


def transcoded_path(audio: str, kind: Format) -> str:
    """Where the same audio lies in another format."""
    return f"{audio.rsplit('.', 1)[0]}.{kind}"


def timings_key(audio: str) -> str:
    """Where it lies which segment is heard when."""
    return f"{audio.rsplit('/', 1)[0]}/timings.json"
