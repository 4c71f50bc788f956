"""`narrate top`: workers, queues, speed and failures, shown anew every few seconds."""

from __future__ import annotations

import argparse
import json
import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from rich.live import Live
from rich.text import Text

from client import terminal
from client.admin import tables
from client.errors import NarrateError
from client.operator import Answer, Operator
from client.terminal import span

try:
    import termios
    import tty
except ImportError:  # Windows: only Ctrl-C ends it there
    CAN_READ_KEYS = False
else:
    CAN_READ_KEYS = True


def top(args: argparse.Namespace) -> int:
    """Show the service until q or Ctrl-C; once with --once, and as text where no terminal is."""
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
    with _keys() as ends, Live(console=terminal.STDOUT, screen=True, auto_refresh=False) as live:
        while True:
            try:
                lines = _lines(operator, as_json=False)
            except NarrateError as error:
                if not error.transient:
                    raise
                lines = [str(error)]
            lines[0] += " (q ends)"
            shown = _fitting(lines, terminal.STDOUT.height)
            live.update(Text("\n".join(shown), no_wrap=True, overflow="ellipsis"), refresh=True)
            if ends(interval_s):
                return


@contextmanager
def _keys() -> Iterator[Callable[[float], bool]]:
    """A function that waits for some seconds, and is True if q was pressed; keys are not echoed."""
    if not (CAN_READ_KEYS and sys.stdin.isatty()):
        yield _sleep
        return
    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    tty.setcbreak(fd)
    try:
        yield lambda seconds: _is_q_pressed(fd, seconds)
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


def _sleep(seconds: float) -> bool:
    time.sleep(seconds)
    return False


def _is_q_pressed(fd: int, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while select.select([fd], [], [], max(0.0, end - time.monotonic()))[0]:
        pressed = os.read(fd, 1024)
        if not pressed or b"q" in pressed.lower():  # nothing: the terminal is gone
            return True
    return False


def _fitting(lines: list[str], height: int) -> list[str]:
    """As many lines as the screen has; the last one tells how many are left out."""
    if len(lines) <= height:
        return lines
    return [*lines[: height - 1], f"{len(lines) - height + 1} more lines: narrate top --once"]


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
    """The overview in lines of which 80 columns show what matters: what is cut is on their right.

    The totals, the queues, the newest jobs that failed, and the workers, of which there may be more
    than the screen has lines.
    """
    yield f"{url} at {tables.clock(overview['at'])}"
    yield (
        f"{overview['jobs_open']} jobs open, {overview['segments_per_minute']} segments a minute,"
        f" {overview['audio_seconds_per_second']} s of audio a second"
    )
    yield ""
    yield from tables.queues({"data": overview["queues"]})
    yield ""
    yield from _failures(overview)
    yield ""
    yield from tables.table(
        ("WORKER", "STATE", "SLOTS", "SEG/MIN", "AUDIO/S", "OLDEST", "MODELS"),
        (_worker(worker, overview["at"]) for worker in overview["workers"]),
    )


def _failures(overview: Answer) -> Iterator[str]:
    if overview["failed"]:
        yield from tables.table(
            ("FAILED JOB", "AGO", "AT", "REASON"),
            (_failure(job, overview["at"]) for job in overview["failed"]),
        )
        yield "more of them: narrate admin jobs --status failed; why: narrate admin job JOB"
    else:
        yield "no job has failed"
    if overview["failed_webhooks"]:
        yield f"{overview['failed_webhooks']} webhooks were given up: narrate admin webhooks"


def _failure(job: Answer, now_s: float) -> tuple[object, ...]:
    failed = job["failed_segment"]
    ago = span(max(0.0, now_s - job["completed_at"])) if job["completed_at"] else None
    at = f"segment {failed['segment']}" if failed else None
    return (job["id"], ago, at, tables.reason(job))


def _worker(worker: Answer, now_s: float) -> tuple[object, ...]:
    """The columns of a worker; OLDEST is how long it has held the segment that it took first."""
    info, running = worker["info"], worker["running"]
    if info is None:
        return (worker["id"], worker["state"], None, None, None, None, "of an older version")
    taken = [segment["since"] for segment in running if segment["since"]]
    return (
        worker["id"],
        worker["state"],
        f"{len(running)}/{info['slots']}",
        info["segments_per_minute"],
        info["audio_s_per_s"],
        span(max(0.0, now_s - min(taken))) if taken else None,
        ", ".join(info["models"]),
    )
