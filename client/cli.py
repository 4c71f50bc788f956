"""The `narrate` command: its arguments and exit codes."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from client import terminal
from client.admin.arguments import add_admin, add_top
from client.commands.batch import batch
from client.commands.keys import run_server_command
from client.commands.logs import logs
from client.commands.narrate import read, resume, say
from client.commands.status import cancel, status
from client.commands.up import up
from client.commands.voices import add_voice, delete_voice, list_voices
from client.errors import NarrateError
from client.files import FORMATS
from client.local.data_folder import default_data_folder
from client.models import PRIORITIES
from client.narrator import DEFAULT_URL

SERVER_COMMANDS = ("keys", "models", "check")
EXIT_FAILED = 1  # argparse exits with 2 on wrong usage.


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 done, 1 failed, 2 wrong usage."""
    argv = sys.argv[1:] if argv is None else argv
    parser, commands = _parser()
    args = parser.parse_args(_with_command(argv, commands))
    if getattr(args, "reference_text", None) and not args.reference:
        parser.error("--reference-text goes with --reference")
    try:
        code: int = args.command(args)
    except NarrateError as error:
        terminal.error(str(error))
        return EXIT_FAILED
    except OSError as error:
        terminal.error(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        return EXIT_FAILED
    except UnicodeError:
        terminal.error("what was given is not UTF-8: rename the file, or write it in UTF-8")
        return EXIT_FAILED
    except KeyboardInterrupt:
        terminal.error("interrupted")
        return EXIT_FAILED
    return code


def _with_command(argv: Sequence[str], commands: Collection[str]) -> list[str]:
    """The arguments with a command: `narrate FILE` is `narrate read FILE`.

    Options after `keys`, `models` and `check` belong to the server's own parser.
    """
    if argv and argv[0] in SERVER_COMMANDS:
        return [argv[0], "--", *argv[1:]]
    is_file = bool(argv) and not argv[0].startswith("-") and argv[0] not in commands
    return ["read", *argv] if is_file else list(argv)


def _parser() -> tuple[argparse.ArgumentParser, Collection[str]]:
    parser = argparse.ArgumentParser(
        prog="narrate",
        usage="narrate FILE [-o FILE] | narrate COMMAND …",
        description="Narrate texts and books with Qwen3-TTS.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, add, does in (
        ("up", _add_up, "run the whole service on this machine"),
        ("read", _add_read, "narrate a txt, md or epub file; `narrate FILE` does the same"),
        ("say", _add_say, "narrate a text"),
        ("batch", _add_batch, "narrate many texts, from a file of JSON lines"),
        ("status", _add_status, "show how a job or batch is getting on"),
        ("logs", _add_logs, "show what happened to a job, and when"),
        ("resume", _add_resume, "go on with a job or batch that was left at the server"),
        ("cancel", partial(_add_job_command, cancel), "cancel a job or batch"),
        ("voices", _add_voices, "list voices, upload one of your own, delete it"),
        (
            "keys",
            partial(_add_server_command, "keys"),
            "create, list and revoke the server's API keys",
        ),
        (
            "models",
            partial(_add_server_command, "models"),
            "list the server's models, forget one that is gone",
        ),
        (
            "check",
            partial(_add_server_command, "check"),
            "check the settings, Redis, the storage, keys and workers",
        ),
        ("top", add_top, "show workers, queues, speed and failures"),
        ("admin", add_admin, "operate the service: queues, workers, jobs of all owners"),
    ):
        own_help = name not in SERVER_COMMANDS
        add(commands.add_parser(name, help=does, prog=f"narrate {name}", add_help=own_help))
    return parser, commands.choices


def _add_up(parser: argparse.ArgumentParser) -> None:
    model = os.environ.get("TTS_MODEL") or os.environ.get("MODEL") or "0.6B-CustomVoice"
    models = [name.strip() for name in model.split(",") if name.strip()]
    parser.set_defaults(command=up, default_models=models)
    parser.add_argument(
        "--model", action="append", dest="models", help=f"may be repeated (default: {model})"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address (default: %(default)s)")
    parser.add_argument("--port", type=port, default=8000, help="0 is any (default: %(default)s)")
    parser.add_argument(
        "--workers", type=count, default=1, help="for each model (default: %(default)s)"
    )
    parser.add_argument(
        "--precision",
        choices=("float32", "bfloat16", "int8"),
        help="of the workers' arithmetic (default: TTS_PRECISION, or float32)",
    )
    parser.add_argument(
        "--model-memory",
        type=gib,
        default=os.environ.get("TTS_MODEL_MEMORY") or None,
        metavar="GIB",
        help="one worker for all models, which keeps loaded what fits into it and changes models in"
        " turn (default: a worker for each model)",
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=default_data_folder(),
        help="folder for jobs, results and logs (default: %(default)s)",
    )


def _add_read(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=read)
    parser.add_argument(
        "files",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="txt, md, epub, or a zip of the first two; several are the chapters of one book",
    )
    _add_output(parser, help="default: the first FILE with .m4b in place of its ending")
    parser.add_argument("--title", help="default: what the file says")
    parser.add_argument("--author", help="default: what the file says")
    parser.add_argument(
        "--list", action="store_true", help="list the sections and their lengths, narrate nothing"
    )
    parser.add_argument("--chapters", metavar="3-7,9", help="only these sections of --list")
    parser.add_argument(
        "--with-front-matter",
        action="store_true",
        help="title page, copyright, index and the like, too",
    )
    parser.add_argument("--cover", type=Path, metavar="PICTURE", help="JPEG or PNG")
    parser.add_argument("--notes", choices=("skip", "read"), help="footnotes (default: skip)")
    parser.add_argument(
        "--images", choices=("skip", "alt"), help="descriptions of pictures (default: skip)"
    )
    _add_voice(parser)


def _add_say(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=say)
    parser.add_argument("text", nargs="?", default="-", help="absent or -: read standard input")
    _add_output(parser, required=True)
    _add_voice(parser)


def _add_voices(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=list_voices)
    _add_url(parser)
    commands = parser.add_subparsers(metavar="COMMAND")
    add = commands.add_parser("add", help="upload a recording to speak with")
    add.set_defaults(command=add_voice)
    add.add_argument(
        "file", type=Path, nargs="?", metavar="FILE", help="wav, mp3, m4a and others; 10 s is best"
    )
    add.add_argument("--job", help="instead of FILE: a finished job, such as a designed voice")
    add.add_argument("--name", required=True, help="how you call the voice")
    add.add_argument("--consent", help="how the speaker agreed, or an id of that")
    add.add_argument("--text", help="what is said in it, for the best likeness")
    add.add_argument("--language", help="which is spoken in it")
    add.add_argument("--description")
    delete = commands.add_parser("delete", help="delete an uploaded voice")
    delete.set_defaults(command=delete_voice)
    delete.add_argument("voice", metavar="VOICE", help="its id or name")
    for command in (add, delete):  # A default here would override `voices --url URL add`.
        command.add_argument("--url", default=argparse.SUPPRESS, help="the server")


def _add_server_command(module: str, parser: argparse.ArgumentParser) -> None:
    # The server's own command parses its options and has its own --help.
    parser.set_defaults(command=lambda args: run_server_command(module, args.rest[1:]))
    parser.add_argument("rest", nargs=argparse.REMAINDER)


def _add_output(parser: argparse.ArgumentParser, **settings: Any) -> None:
    kinds = "|".join(FORMATS)
    parser.add_argument("-o", "--output", type=Path, metavar=f"FILE.{{{kinds}}}", **settings)


def _add_voice(parser: argparse.ArgumentParser) -> None:
    _add_url(parser)
    parser.add_argument("--model", help="default: the first that can do it")
    who = parser.add_mutually_exclusive_group()
    who.add_argument("--voice", help="a model's, or an uploaded one; default: the model's first")
    who.add_argument("--reference", type=Path, metavar="FILE", help="recording to clone")
    parser.add_argument("--reference-text", metavar="TEXT", help="what is said in it")
    parser.add_argument("--language", help="default: found out from the text")
    parser.add_argument("--instructions", help="how to speak or, without a voice, who speaks")
    parser.add_argument("--normalise", choices=("off", "numbers"), help="numbers as words")
    parser.add_argument("--seed", type=int, help="the same number gives the same speech")
    parser.add_argument("--priority", choices=PRIORITIES, help="among your own jobs")
    parser.add_argument("--webhook", metavar="URL", help="what to tell when the job has ended")


def _add_batch(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=batch)
    parser.add_argument("file", type=Path, metavar="JOBS.jsonl", help="a request in each line")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    parser.add_argument(
        "--on-invalid",
        choices=("refuse", "skip"),
        default="refuse",
        help="lines that are wrong: refuse all, or skip them (default: %(default)s)",
    )
    _add_url(parser)


def _add_resume(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=resume)
    parser.add_argument("job", metavar="JOB", help="a job's or batch's id")
    parser.add_argument(
        "-o", "--output", type=Path, help="default for a job: where it was to be written"
    )
    _add_url(parser)


def _add_status(parser: argparse.ArgumentParser) -> None:
    _add_job_command(status, parser)
    parser.add_argument("--json", action="store_true", help="print the server's own answer")


def _add_logs(parser: argparse.ArgumentParser) -> None:
    _add_job_command(logs, parser)
    parser.add_argument("-f", "--follow", action="store_true", help="until the job has ended")
    parser.add_argument("--json", action="store_true", help="print the server's own entries")


def _add_job_command(
    command: Callable[[argparse.Namespace], int], parser: argparse.ArgumentParser
) -> None:
    parser.set_defaults(command=command)
    parser.add_argument("job", metavar="JOB", help="a job's or batch's id")
    _add_url(parser)


def _add_url(parser: argparse.ArgumentParser) -> None:
    url = os.environ.get("NARRATE_URL") or DEFAULT_URL
    parser.add_argument("--url", default=url, help="the server (NARRATE_URL; now %(default)s)")


# argparse puts the names of these three into its error messages.
def port(text: str) -> int:
    """Read a TCP port. Raises ValueError if it is none."""
    if not 0 <= int(text) <= 65535:
        raise ValueError
    return int(text)


def gib(text: str) -> float:
    """Read a size in GiB. Raises ValueError if it is none."""
    if not 0 < float(text) < float("inf"):
        raise ValueError
    return float(text)


def count(text: str) -> int:
    """Read a whole number from 1. Raises ValueError if it is none."""
    if int(text) < 1:
        raise ValueError
    return int(text)
