"""`narrate say` and `narrate FILE`: a text or a book in, an audio file out."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from client import terminal
from client.errors import NarrateError
from client.follow import OUTPUT_METADATA_KEY, follow
from client.narrator import Narrator
from client.output import check_writable, format_of
from client.request import Options

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
    """Narrate a text, Markdown or EPUB file; Ctrl-C leaves the job running."""
    if not args.file.is_file():
        raise NarrateError(f"there is no file {args.file}, nor a command of that name")
    output = args.output or args.file.with_suffix(DEFAULT_SUFFIX)
    check_writable(output)
    options = _options(args, output) | {"title": args.title, "author": args.author}
    with Narrator(args.url) as narrator:
        job = narrator.submit_file(args.file, **narrator.resolve_options(options))
        chapters = f", {job.chapter_count} chapters" if job.chapters else ""
        return follow(narrator, job, output, f": {job.segments.total} segments{chapters}")


def _options(args: argparse.Namespace, output: Path) -> Options:
    """The options of the command line, with the output path in the metadata."""
    return {
        "model": args.model,
        "voice": args.voice,
        "language": args.language,
        "instructions": args.instructions,
        "reference": args.reference,
        "reference_text": args.reference_text,
        "seed": args.seed,
        "response_format": format_of(output),
        "metadata": _resume_metadata(output),
        "priority": args.priority,
        "webhook": args.webhook,
    }


def _resume_metadata(output: Path) -> dict[str, str]:
    """The output path for `narrate resume`, if the server accepts it as metadata."""
    path = str(output.absolute())
    keeps = len(path) <= MAX_METADATA_CHARS and path.encode(errors="ignore").decode() == path
    return {OUTPUT_METADATA_KEY: path} if keeps else {}


def _read_stdin() -> str:
    if sys.stdin.isatty():
        terminal.note("Reading the text from the terminal; Ctrl-D ends it")
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise NarrateError(f"standard input is not {error.encoding} text") from error
