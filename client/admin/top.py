"""`narrate top`: workers, queues, speed and failures, shown anew every few seconds."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator

from rich.live import Live
from rich.text import Text

from client import terminal
from client.admin import tables
from client.errors import NarrateError
from client.operator import Answer, Operator


def top(args: argparse.Namespace) -> int:
    """Show the service until Ctrl-C; once with --once, and where no terminal is."""
    with Operator(args.url, ledger=args.ledger) as operator:
        if args.once:
            _show(operator.get("overview"), operator.base_url, args.json)
            return 0
        try:
            _watch(operator, args)
        except KeyboardInterrupt:
            return 0
    return 0


def _watch(operator: Operator, args: argparse.Namespace) -> None:
    """Show each state anew: a JSON object a line, else a screen; returns only where it is once."""
    if args.json:
        while True:
            _show(operator.get("overview"), operator.base_url, True)
            time.sleep(args.interval)
    if not terminal.STDOUT.is_terminal:
        _show(operator.get("overview"), operator.base_url, False)
        return
    with Live(console=terminal.STDOUT, screen=True, auto_refresh=False) as live:
        while True:
            lines = _or_why_not(lambda: list(screen(operator.get("overview"), operator.base_url)))
            text = Text("\n".join(lines), no_wrap=True, overflow="ellipsis")
            live.update(text, refresh=True)
            time.sleep(args.interval)


def _or_why_not(read: Callable[[], list[str]]) -> list[str]:
    """The lines, or the error in their place where it may pass."""
    try:
        return read()
    except NarrateError as error:
        if not error.transient:
            raise
        return [str(error)]


def _show(overview: Answer, url: str, as_json: bool) -> None:
    for line in (json.dumps(overview),) if as_json else screen(overview, url):
        terminal.say(line)


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
