"""Waits for a job with a progress display and writes its audio."""

from __future__ import annotations

from pathlib import Path

from client import terminal
from client.errors import NarrateError
from client.job import Job
from client.narrator import DEFAULT_URL, Narrator
from client.output import format_of
from client.progress import JobProgress

OUTPUT_METADATA_KEY = "narrate_output"  # the path of the output file, for `narrate resume`


def follow(narrator: Narrator, job: Job, output: Path, about: str = "") -> int:
    """Print a job's id, wait for it and write its audio.

    Ctrl-C leaves the job running and prints the command that resumes it.
    """
    try:
        terminal.note(f"Job {job.id}{about}")
        _note_missing_worker(narrator, job)
        with JobProgress() as progress:
            job = narrator.wait(job.id, progress)
        _check_format(job, output)
        _fetch(narrator, job, output)
    except KeyboardInterrupt:
        terminal.note(f"Job {job.id} goes on at the server: {resume_command(narrator, job.id)}")
        return 1
    terminal.say(summary(job, output))
    if job.segments.truncated:
        terminal.note(f"{job.segments.truncated} of {job.segments.total} segments were cut short")
    return 0


def _fetch(narrator: Narrator, job: Job, output: Path) -> None:
    try:
        narrator.download(job.id, output)
    except NarrateError:
        terminal.note(f"The audio stays at the server: {resume_command(narrator, job.id)} -o FILE")
        raise


def resume_command(narrator: Narrator, name: str) -> str:
    """The command that resumes a job or batch."""
    where = "" if narrator.base_url == DEFAULT_URL else f" --url {narrator.base_url}"
    return f"narrate resume {name}{where}"


def summary(job: Job, path: Path) -> str:
    """The file, its duration and the time of its synthesis, where the server gives them."""
    line = str(path)
    if job.audio:
        line += f": {job.audio.seconds:.1f} s of audio"
    if job.synthesis.seconds is not None:
        line += f" in {job.synthesis.seconds:.1f} s"
    if job.synthesis.rtf is not None:
        line += f" (RTF {job.synthesis.rtf:.2f})"
    return line


def _check_format(job: Job, output: Path) -> None:
    if job.audio and job.audio.format != format_of(output):
        kind = job.audio.format
        raise NarrateError(f"the job was sent for {kind}: give it a file that ends in .{kind}")


def _note_missing_worker(narrator: Narrator, job: Job) -> None:
    """Print that the job has to wait if no live worker serves its model."""
    if not any(model.workers for model in narrator.models() if model.id == job.model):
        terminal.note(f"No worker of {job.model} is alive; the job waits until one starts")
