"""`narrate status` and `narrate cancel`: the state of a job or batch."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from datetime import UTC, datetime

from client import terminal
from client.models import Batch, Job, is_batch
from client.narrator import Narrator
from client.terminal import describe


def status(args: argparse.Namespace) -> int:
    """Print the state, one fact a line or as the server's JSON; always 0, also for a failed job."""
    with Narrator(args.url) as narrator:
        found = narrator.batch(args.job) if is_batch(args.job) else narrator.job(args.job)
    if args.json:
        terminal.say(json.dumps(found.raw))
        return 0
    for name, value in _facts(found, narrator.base_url):
        terminal.say(f"{name:<10} {value}")
    return 0


def cancel(args: argparse.Namespace) -> int:
    """Cancel a job or batch and print its status; 1 if it had ended before."""
    with Narrator(args.url) as narrator:
        end = narrator.cancel_batch if is_batch(args.job) else narrator.cancel
        found = end(args.job)
    terminal.say(f"{type(found).__name__} {found.id} is {found.status.replace('_', ' ')}")
    return 0 if found.status in ("cancelled", "cancelling") else 1


def _facts(job: Job | Batch, base_url: str) -> Iterator[tuple[str, str]]:
    if isinstance(job, Batch):
        yield "batch", job.id
        yield "status", job.status.replace("_", " ")
        yield "jobs", f"{job.total}: {job.completed} completed, {job.failed} failed"
        return
    yield "job", job.id
    yield "status", f"{job.status.replace('_', ' ')}, {job.progress} %"
    if job.error_message:
        yield "error", job.error_message
    if job.waiting_for_model:
        yield "waits for", f"a worker: python -m worker --model {job.waiting_for_model}"
    for warning in job.warnings:
        yield "warning", str(warning)
    yield "task", ", ".join(filter(None, (job.task, job.model, job.voice, job.language)))
    yield "done", describe(job)
    if job.created_at is not None:
        yield "created", _time(job.created_at)
    if job.completed_at is not None:
        yield "ended", _time(job.completed_at)
    if job.synthesis.rtf is not None:
        yield "RTF", f"{job.synthesis.rtf:.2f}"
    if job.status == "completed":
        yield "audio", f"{base_url}/v1/jobs/{job.id}/content"


def _time(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).astimezone().isoformat(" ", "seconds")
