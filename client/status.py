"""`narrate status` and `narrate cancel`: what becomes of a job."""

import argparse
import json
from collections.abc import Iterator
from datetime import UTC, datetime

from client import terminal
from client.job import Job
from client.narrator import Narrator
from client.progress import describe


def status(args: argparse.Namespace) -> int:
    """Print the job, one fact a line or as the server's JSON; 0 however the job is doing."""
    with Narrator(args.url) as narrator:
        job = narrator.job(args.job)
        content = f"{narrator.base_url}/v1/jobs/{job.id}/content"
    if args.json:
        terminal.say(json.dumps(job.raw))
        return 0
    for name, value in _facts(job, content):
        terminal.say(f"{name:<10} {value}")
    return 0


def cancel(args: argparse.Namespace) -> int:
    """Cancel a job, and print what it is then."""
    with Narrator(args.url) as narrator:
        job = narrator.cancel(args.job)
    terminal.say(f"Job {job.id} is {job.status.replace('_', ' ')}")
    return 0 if job.status == "cancelled" else 1


def _facts(job: Job, content: str) -> Iterator[tuple[str, str]]:
    yield "job", job.id
    yield "status", f"{job.status.replace('_', ' ')}, {job.progress} %"
    if job.error_message:
        yield "error", job.error_message
    yield "task", ", ".join(filter(None, (job.task, job.model, job.voice, job.language)))
    yield "done", describe(job)
    if job.created_at is not None:
        yield "created", _time(job.created_at)
    if job.completed_at is not None:
        yield "ended", _time(job.completed_at)
    if job.synthesis.rtf is not None:
        yield "RTF", f"{job.synthesis.rtf:.2f}"
    if job.status == "completed":
        yield "audio", content


def _time(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).astimezone().isoformat(" ", "seconds")
