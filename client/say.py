"""`narrate say`: one text in, one WAV file out."""

import argparse
import os
import sys
from pathlib import Path

from client import terminal
from client.errors import NarrateError
from client.job import Job
from client.narrator import DEFAULT_URL, Narrator
from client.progress import JobProgress
from client.request import Options, fill_in


def say(args: argparse.Namespace) -> int:
    """Narrate the text into the file and say how long it is; Ctrl-C leaves the job running."""
    text = _read_stdin() if args.text == "-" else args.text
    if not text.strip():
        terminal.error("nothing to say: the text is empty")
        return 2
    _check_writable(args.output)
    with Narrator(args.url) as narrator:
        models = narrator.models()
        job = narrator.submit(text, **fill_in(_options(args), models))
        terminal.note(f"Job {job.id}")
        if not any(model.workers for model in models if model.id == job.model):
            terminal.note(f"No worker of {job.model} is alive; the job waits until one starts")
        try:
            with JobProgress() as progress:
                job = narrator.wait(job.id, progress)
            narrator.download(job.id, args.output)
        except KeyboardInterrupt:
            where = "" if args.url == DEFAULT_URL else f" --url {args.url}"
            terminal.note(f"Job {job.id} goes on at the server: narrate status {job.id}{where}")
            return 1
    terminal.say(summary(job, args.output))
    if job.segments.truncated:
        terminal.note(f"{job.segments.truncated} of {job.segments.total} segments were cut short")
    return 0


def summary(job: Job, path: Path) -> str:
    """Return the file, its length and how fast it was made, as far as the server says."""
    line = str(path)
    if job.audio:
        line += f": {job.audio.seconds:.1f} s of audio"
    if job.synthesis.seconds is not None:
        line += f" in {job.synthesis.seconds:.1f} s"
    if job.synthesis.rtf is not None:
        line += f" (RTF {job.synthesis.rtf:.2f})"
    return line


def _options(args: argparse.Namespace) -> Options:
    return {
        "model": args.model,
        "voice": args.voice,
        "language": args.language,
        "instructions": args.instructions,
        "reference": args.reference,
        "reference_text": args.reference_text,
        "seed": args.seed,
    }


def _read_stdin() -> str:
    if sys.stdin.isatty():
        terminal.note("Reading the text from the terminal; Ctrl-D ends it")
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise NarrateError(f"standard input is not {error.encoding} text") from error


def _check_writable(path: Path) -> None:
    """Refuse an impossible output file now rather than after the whole synthesis."""
    if path.suffix.lower() != ".wav":
        raise NarrateError(f"cannot write {path}: the audio is WAV, so its name must end in .wav")
    if path.exists() and not path.is_file():
        raise NarrateError(f"cannot write {path}: not a regular file")
    if not path.parent.is_dir():
        raise NarrateError(f"cannot write {path}: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise NarrateError(f"cannot write {path}: no permission in {path.parent}")
