"""Output to the terminal: results on stdout, notes and progress on stderr."""

from __future__ import annotations

import time
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from client.models import Job
from client.narrator import DEFAULT_URL

STDOUT = Console(highlight=False)
STDERR = Console(stderr=True, highlight=False)
PLAIN_LINE_INTERVAL_S = 5.0


def say(line: str) -> None:
    """Print a result."""
    _print(STDOUT, line)


def note(line: str) -> None:
    """Print a note about the work in progress."""
    _print(STDERR, line)


def error(message: str) -> None:
    """Print an error as one line."""
    _print(STDERR, f"narrate: {message}")


def _print(console: Console, line: str) -> None:
    # Parts of a line come from servers and files: no markup, no control characters, no wrapping.
    plain = "".join(char if char.isprintable() else " " for char in line)
    console.print(plain, markup=False, emoji=False, soft_wrap=True)


class JobProgress:
    """A progress display: call it with each state of a job; the context manager removes the bar."""

    def __init__(self) -> None:
        self._bar: Progress | None = None
        self._waited = False
        self._last_line, self._last_line_at = "", 0.0
        if STDERR.is_terminal:
            self._bar = Progress(
                TextColumn("{task.fields[status]}", markup=False),
                BarColumn(),
                TextColumn("{task.description}", markup=False),
                TimeElapsedColumn(),
                console=STDERR,
                transient=True,
            )
            self._task = self._bar.add_task("", total=None, status="queued")

    def __call__(self, job: Job) -> None:
        """Show the job as it stands; say so, once, when no worker serves its model."""
        if job.waiting_for_model and not self._waited:
            note(
                f"No worker serves {job.waiting_for_model}; the job waits until one starts:"
                f" python -m worker --model {job.waiting_for_model}"
            )
        self._waited = bool(job.waiting_for_model)
        if self._bar:
            self._bar.update(
                self._task,
                description=describe(job),
                status=job.status.replace("_", " "),
                completed=job.segments.completed,
                total=job.segments.total or None,
            )
        elif job.ended or time.monotonic() - self._last_line_at > PLAIN_LINE_INTERVAL_S:
            line = f"{job.status.replace('_', ' ')}: {describe(job)}"
            if line != self._last_line:
                note(line)
                self._last_line, self._last_line_at = line, time.monotonic()

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._bar:
            self._bar.stop()


def describe(job: Job) -> str:
    """The completed segments and, once known, the audio made, its RTF and the time left."""
    parts = [f"{job.segments.completed}/{job.segments.total} segments"]
    seconds = job.audio.seconds if job.audio else job.synthesis.audio_seconds
    if seconds:
        parts.append(f"{span(seconds)} of audio")
    if seconds and job.synthesis.rtf is not None:
        parts.append(f"RTF {job.synthesis.rtf:.2f}")
    if job.eta_s is not None:
        parts.append(f"{span(job.eta_s)} to go")
    return ", ".join(parts)


def counted(number: int, one: str, more: str = "") -> str:
    """A number of things: `1 job`, `1,000 jobs`; `more` is their plural, if it is no `s` more."""
    return f"1 {one}" if number == 1 else f"{number:,} {more or one + 's'}"


def span(seconds: float) -> str:
    """A duration for people: `5.0 s`, `12 min`, `2 h 05 min`."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02} min"


def resume_command(base_url: str, name: str) -> str:
    """The command that resumes the job or batch with the id `name`."""
    where = "" if base_url == DEFAULT_URL else f" --url {base_url}"
    return f"narrate resume {name}{where}"
