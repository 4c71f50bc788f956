"""`narrate top`: workers, queues, speed and failures, shown anew every few seconds."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from contextlib import suppress

from rich.live import Live
from rich.text import Text

from client import terminal
from client.admin import tables
from client.errors import NarrateError
from client.operator import Answer, Operator


def top(args: argparse.Namespace) -> int:
    """Show the service until Ctrl-C; once with --once, and as text where no terminal is."""
    with Operator(args.url, ledger=args.ledger) as operator:
        if args.once or not (args.json or terminal.STDOUT.is_terminal):
            _print(operator, as_json=args.json)
            return 0
        with suppress(KeyboardInterrupt):
            if args.json:
                while True:
                    _print(operator, as_json=True)
                    time.sleep(args.interval)
            _watch(operator, args.interval)
    return 0


def _watch(operator: Operator, interval_s: float) -> None:
    """Show the service on the whole screen; an error that may pass is shown in its place."""
    with Live(console=terminal.STDOUT, screen=True, auto_refresh=False) as live:
        while True:
            try:
                lines = _lines(operator, as_json=False)
            except NarrateError as error:
                if not error.transient:
                    raise
                lines = [str(error)]
            text = Text("\n".join(lines), no_wrap=True, overflow="ellipsis")
            live.update(text, refresh=True)
            time.sleep(interval_s)


def _print(operator: Operator, *, as_json: bool) -> None:
    for line in _lines(operator, as_json=as_json):
        terminal.say(line)


def _lines(operator: Operator, *, as_json: bool) -> list[str]:
    overview = operator.get("overview")
    if as_json:
        return [json.dumps(overview)]
    with operator.reading():
        return list(screen(overview, operator.base_url))


def screen(overview: Answer, url: str) -> Iterator[str]:
    """The overview in lines: the totals, queues, workers, and the newest jobs that failed."""
    yield (
        f"{url} at {tables.clock(overview['at'])}: {overview['jobs_open']} jobs open,"
        f" {overview['segments_per_minute']} segments a minute,"
        f" {overview['audio_seconds_per_second']} s of audio a second"
    )
    yield ""
    yield from tables.queues({"data": overview["queues"]})
    yield ""
    yield from tables.workers({"data": overview["workers"]})
    yield ""
    yield from _failures(overview)


def _failures(overview: Answer) -> Iterator[str]:
    if overview["failed"]:
        yield from tables.jobs({"data": overview["failed"]})
    else:
        yield "no job has failed"
    if overview["failed_webhooks"]:
        yield f"{overview['failed_webhooks']} webhooks were given up: narrate admin webhooks"
