"""`narrate logs`: the life of a job, as the server's ledger has noted it."""

from __future__ import annotations

import argparse
import json
import time
from datetime import UTC, datetime
from functools import partial

from client import terminal
from client.models import HistoryEntry
from client.narrator import Narrator
from client.retry import retry

FOLLOW_INTERVAL_S = 1.0
NO_HISTORY = "this job was accepted by a version of the server that kept no histories"
WORDS = {
    "accepted": "accepted",
    "queued": "queued, all of it",
    "lost": "lost: its worker was silent until the lease ran out",
    "attempt_failed": "attempt failed; the next one begins when its lease runs out",
    "requeued": "queued again",
    "released": "handed back by its worker; the attempt does not count",
    "unreadable": "handed back: its worker's version cannot read the job",
    "retried": "retried by an operator",
    "prioritised": "got another priority",
    "truncated": "reached its greatest length, and is cut off there",
    "joined": "joined into one file",
    "webhook_delivered": "webhook delivered",
    "webhook_failed": "webhook not delivered, will be tried again",
    "webhook_given_up": "webhook given up; it can be sent again",
    "webhook_resent": "webhook to be sent again",
    "omitted": "further entries left out",
}


def logs(args: argparse.Namespace) -> int:
    """Print the history of a job, one entry a line; with --follow, until the job has ended."""
    after = 0
    with Narrator(args.url) as narrator:
        while True:
            # The state first: what happens between the two requests is in the history.
            job = retry(partial(narrator.job, args.job), narrator.patience_s)
            found = retry(partial(narrator.history, args.job, after), narrator.patience_s)
            if not found.recorded:
                terminal.note(NO_HISTORY)
            for entry in found.entries:
                terminal.say(json.dumps(entry.raw) if args.json else line_of(entry))
            if job.ended or not found.recorded or not args.follow:
                return 0
            after = found.next
            time.sleep(FOLLOW_INTERVAL_S)


def line_of(entry: HistoryEntry) -> str:
    """An entry as a line: its time, its segment, its event, and what is known of it.

    Example: `2026-11-30 04:00:00.123+00:00  segment 3  claimed, attempt 1, by host:5f0c1a2b:77:9e`.
    """
    at = datetime.fromtimestamp(entry.at, UTC).astimezone().isoformat(" ", "milliseconds")
    parts = [WORDS.get(entry.event, entry.event)]
    if entry.count is not None:
        what = ("entry", "entries") if entry.event == "omitted" else ("segment",)
        parts.append(terminal.counted(entry.count, *what))
    if entry.webhook:
        parts.append(entry.webhook)
    if entry.attempt is not None:
        parts.append(f"attempt {entry.attempt}")
    if entry.worker:
        parts.append(f"by {entry.worker}")
    if entry.request:
        parts.append(f"request {entry.request}")
    reason = ": ".join(filter(None, (entry.code, entry.reason)))
    return f"{at}  {_subject(entry):<12} {', '.join(parts)}{f' ({reason})' if reason else ''}"


def _subject(entry: HistoryEntry) -> str:
    if entry.segment is None:
        return "job"
    return entry.segment if entry.segment == "join" else f"segment {entry.segment}"
