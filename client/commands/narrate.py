"""`narrate say`, `narrate FILE` and `narrate resume`: from a text or book to an audio file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from client import terminal
from client.commands.batch import follow_batch
from client.errors import NarrateError
from client.files import check_writable, format_of
from client.models import Contents, Job, is_batch
from client.narrator import Narrator
from client.options import Options
from client.terminal import JobProgress

OUTPUT_METADATA_KEY = "narrate_output"  # the path of the output file, for `narrate resume`
DEFAULT_SUFFIX = ".m4b"
MAX_METADATA_CHARS = 512


def say(args: argparse.Namespace) -> int:
    """Narrate the text into the file; Ctrl-C leaves the job running."""
    text = _read_stdin() if args.text == "-" else args.text
    if not text.strip():
        terminal.error("nothing to say: the text is empty")
        return 2
    check_writable(args.output)
    with Narrator(args.url) as narrator:
        job = narrator.submit(text, **narrator.resolve_options(_options(args, args.output)))
        return follow(narrator, job, args.output)


def read(args: argparse.Namespace) -> int:
    """Narrate a text, Markdown or EPUB file, or several as one; Ctrl-C leaves the job running."""
    for path in args.files:
        if not path.is_file():
            raise NarrateError(f"there is no file {path}, nor a command of that name")
    reading: Options = {
        "notes": args.notes,
        "images": args.images,
        "front_matter": "read" if args.with_front_matter else None,
        "chapters": args.chapters,
    }
    if args.list:
        with Narrator(args.url) as narrator:
            _list(narrator.contents(args.files, **reading))
        return 0
    output = args.output or args.files[0].with_suffix(DEFAULT_SUFFIX)
    check_writable(output)
    options: Options = {**_options(args, output), **reading}
    options |= {"title": args.title, "author": args.author, "cover": args.cover}
    with Narrator(args.url) as narrator:
        job = narrator.submit_file(args.files, **narrator.resolve_options(options))
        segments = terminal.counted(job.segments.total, "segment")
        chapters = f", {terminal.counted(job.chapter_count, 'chapter')}" if job.chapters else ""
        return follow(narrator, job, output, f": {segments}{chapters}")


def _list(contents: Contents) -> None:
    """Print the sections of a document, a line each; those in brackets are not spoken."""
    for section in contents.sections:
        title = section.title or section.kind.replace("_", " ")
        shown = title if section.spoken else f"({title})"
        terminal.say(f"{section.number:>4}  {terminal.span(section.seconds):>10}  {shown}")
    for warning in contents.warnings:
        terminal.note(f"Warning: {warning}")
    about = " by ".join(filter(None, (contents.title, contents.author)))
    spoken = f"{contents.characters:,} characters, about {terminal.span(contents.seconds)}"
    terminal.note(f"{about}: {spoken}" if about else spoken)


def _options(args: argparse.Namespace, output: Path) -> Options:
    """The options of the command line; the metadata has the output path for `narrate resume`.

    It is left out if the server would not accept it as metadata.
    """
    path = str(output.absolute())
    keeps = len(path) <= MAX_METADATA_CHARS and path.encode(errors="ignore").decode() == path
    return {
        "model": args.model,
        "voice": args.voice,
        "language": args.language,
        "instructions": args.instructions,
        "reference": args.reference,
        "reference_text": args.reference_text,
        "normalise": args.normalise,
        "seed": args.seed,
        "response_format": format_of(output),
        "metadata": {OUTPUT_METADATA_KEY: path} if keeps else {},
        "priority": args.priority,
        "webhook": args.webhook,
    }


def _read_stdin() -> str:
    if sys.stdin.isatty():
        terminal.note("Reading the text from the terminal; Ctrl-D ends it")
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise NarrateError(f"standard input is not {error.encoding} text") from error


def follow(narrator: Narrator, job: Job, output: Path, about: str = "") -> int:
    """Print a job's id, wait for it and write its audio.

    Ctrl-C leaves the job running and prints the command that resumes it.
    """
    resume_command = terminal.resume_command(narrator.base_url, job.id)
    try:
        terminal.note(f"Job {job.id}{about}")
        for warning in job.warnings:
            terminal.note(f"Warning: {warning}")
        with JobProgress() as progress:
            job = narrator.wait(job.id, progress)
        if job.audio and job.audio.format != format_of(output):
            kind = job.audio.format
            raise NarrateError(f"the job was sent for {kind}: give it a file that ends in .{kind}")
        try:
            narrator.download(job.id, output)
        except NarrateError:
            terminal.note(f"The audio stays at the server: {resume_command} -o FILE")
            raise
    except KeyboardInterrupt:
        terminal.note(f"Job {job.id} goes on at the server: {resume_command}")
        return 1
    terminal.say(summary(job, output))
    if job.segments.truncated:
        terminal.note(f"{job.segments.truncated} of {job.segments.total} segments were cut short")
    return 0


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


def resume(args: argparse.Namespace) -> int:
    """Wait for the job or batch and write its audio to --output or the path in its metadata."""
    with Narrator(args.url) as narrator:
        if is_batch(args.job):
            if args.output is None:
                raise NarrateError("say where the batch is to be written: -o DIR")
            return follow_batch(narrator, narrator.batch(args.job), args.output)
        job = narrator.job(args.job)
        output = args.output or _output_of(job)
        if output is None:
            raise NarrateError("say where the audio is to be written: -o FILE")
        check_writable(output)
        return follow(narrator, job, output)


def _output_of(job: Job) -> Path | None:
    """The output path in the job's metadata, if there is one.

    Raises NarrateError if the file exists: the metadata may be of another client.
    """
    path = (job.raw.get("metadata") or {}).get(OUTPUT_METADATA_KEY)
    if path is None:
        return None
    if Path(path).exists():
        raise NarrateError(f"{path} is there already: -o {path} writes over it")
    return Path(path)
