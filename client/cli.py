"""The `narrate` command: what it understands, and how it ends."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from client import terminal
from client.errors import NarrateError
from client.local.data_folder import default_data_folder
from client.narrator import DEFAULT_URL
from client.say import say
from client.status import status
from client.up import up

OK, FAILED = 0, 1  # argparse exits with 2 on wrong usage.


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code: 0 done, 1 failed, 2 wrong usage."""
    parser = _parser()
    args = parser.parse_args(argv)
    if getattr(args, "reference_text", None) and not args.reference:
        parser.error("--reference-text goes with --reference")
    try:
        code: int = args.command(args)
    except (NarrateError, OSError) as error:
        terminal.error(str(error))
        return FAILED
    except KeyboardInterrupt:
        terminal.error("interrupted")
        return FAILED
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="narrate", description="Narrate texts with Qwen3-TTS.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_up(commands.add_parser("up", help="run the whole service on this machine"))
    _add_say(commands.add_parser("say", help="narrate a text into a WAV file"))
    _add_status(commands.add_parser("status", help="show how a job is getting on"))
    return parser


def _add_up(parser: argparse.ArgumentParser) -> None:
    model = os.environ.get("MODEL") or "0.6B-CustomVoice"
    parser.set_defaults(command=up, default_models=[model])
    parser.add_argument(
        "--model", action="append", dest="models", help=f"may be repeated (default: {model})"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address (default: %(default)s)")
    parser.add_argument("--port", type=port, default=8000, help="0 is any (default: %(default)s)")
    parser.add_argument(
        "--workers", type=count, default=1, help="for each model (default: %(default)s)"
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=default_data_folder(),
        help="folder for jobs, results and logs (default: %(default)s)",
    )


def _add_say(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=say)
    parser.add_argument("text", nargs="?", default="-", help="absent or -: read standard input")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.wav")
    _add_url(parser)
    parser.add_argument("--model", help="default: the first that can do it")
    who = parser.add_mutually_exclusive_group()
    who.add_argument("--voice", help="default: the model's first")
    who.add_argument("--reference", type=Path, metavar="FILE", help="recording to clone")
    parser.add_argument("--reference-text", metavar="TEXT", help="what is said in it")
    parser.add_argument("--language", help="default: found out from the text")
    parser.add_argument("--instructions", help="how to speak or, without a voice, who speaks")
    parser.add_argument("--seed", type=int, help="the same number gives the same speech")


def _add_status(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=status)
    parser.add_argument("job", metavar="JOB")
    _add_url(parser)
    parser.add_argument("--json", action="store_true", help="print the server's own answer")


def _add_url(parser: argparse.ArgumentParser) -> None:
    url = os.environ.get("NARRATE_URL") or DEFAULT_URL
    parser.add_argument("--url", default=url, help="the server (NARRATE_URL; now %(default)s)")


# argparse puts the names of these two into its error messages.
def port(text: str) -> int:
    """Read a TCP port; ValueError where it is none."""
    if not 0 <= int(text) <= 65535:
        raise ValueError
    return int(text)


def count(text: str) -> int:
    """Read a whole number from 1; ValueError where it is none."""
    if int(text) < 1:
        raise ValueError
    return int(text)
