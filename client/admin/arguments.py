"""The arguments of `narrate admin` and `narrate top`, and the run of a command."""

from __future__ import annotations

import argparse
import json
import os
import sys
from functools import partial

from client import terminal
from client.admin.commands import COMMANDS, AdminCommand
from client.admin.top import top
from client.errors import NarrateError
from client.narrator import DEFAULT_URL
from client.operator import Operator

INTERVAL_S = 2.0


def add_top(parser: argparse.ArgumentParser) -> None:
    """Add the options of `narrate top`."""
    parser.set_defaults(command=top)
    parser.add_argument("--once", action="store_true", help="show it once, and end")
    parser.add_argument(
        "--interval",
        type=seconds,
        default=INTERVAL_S,
        metavar="SECONDS",
        help="between two looks (default: %(default)s)",
    )
    _add_common(parser)


def add_admin(parser: argparse.ArgumentParser) -> None:
    """Add the commands of `narrate admin`."""
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        added = commands.add_parser(name, help=command.does, description=command.does)
        added.set_defaults(command=partial(run, command))
        for names, settings in command.arguments:
            added.add_argument(*names, **settings)
        _add_common(added)
        added.add_argument("--yes", action="store_true", help="do not ask whether it is meant")


def _add_common(parser: argparse.ArgumentParser) -> None:
    url = os.environ.get("NARRATE_URL") or DEFAULT_URL
    parser.add_argument("--url", default=url, help="the server (NARRATE_URL; now %(default)s)")
    parser.add_argument("--json", action="store_true", help="print the server's own answer")
    parser.add_argument("--ledger", metavar="NAME", help="one of TTS_LEDGERS (default: your key's)")


def run(command: AdminCommand, args: argparse.Namespace) -> int:
    """Ask whether a change is meant, make it, show the answer; 1 if the answer has a problem."""
    question = command.asks(args)
    if question and not args.yes:
        _confirm(question)
    with Operator(args.url, ledger=args.ledger) as operator, operator.reading():
        answer = command.request(operator, args)
        lines = [json.dumps(answer)] if args.json else list(command.show(answer))
    for line in lines:
        terminal.say(line)
    return int(answer.get("ok") is False)


def _confirm(question: str) -> None:
    """Raise NarrateError unless a person at the terminal says yes."""
    if not sys.stdin.isatty():
        raise NarrateError(f"to {question}, add --yes: no terminal is here to ask on")
    terminal.note(f"This will {question}. It cannot be undone. Type yes to go on.")
    if sys.stdin.readline().strip().lower() != "yes":
        raise NarrateError("nothing was changed")


# argparse puts the name into its error messages.
def seconds(text: str) -> float:
    """Read a time from 0.1 s. Raises ValueError if it is none."""
    if not 0.1 <= float(text) < float("inf"):
        raise ValueError
    return float(text)
