"""What the queue costs where speech costs nothing, beside plain Celery in the same run.

Plain Celery has no ledger: what is lost with a worker or a Redis is lost.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

# Not this folder: its queue.py would hide Python's.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from rich.console import Console
from rich.table import Table

from benchmarks.queue_service import TEXT, Service, at_once
from client.local.redis_server import RedisServer
from shared.document import Segment
from shared.jobs import SegmentResult, SpeechSpec
from shared.speech_model import Task
from shared.store.connection import connect
from shared.store.ledger import Ledger

JOBS, SENDERS, WARM_UP = 1_000, 4, 20
MS = 1e3


def side(name: str, folder: Path, jobs: int) -> dict[str, float]:
    """Jobs of one segment: sent, asked for, worked off, and one by one."""
    with Service(name, folder / name) as service:
        alone_s = []
        for _ in range(WARM_UP + jobs // 10):
            began_s = time.perf_counter()
            service.wait([service.submit()], every_s=0.002)
            alone_s.append(time.perf_counter() - began_s)
        before = service.spent()
        with service.worker_stopped():
            ids, submitted_s = at_once(lambda _: service.submit(), range(jobs), SENDERS)
            _, polled_s = at_once(service.is_completed, ids, SENDERS)
        began_s = time.perf_counter()
        service.wait(ids, every_s=0.1)
        drained_s, after = time.perf_counter() - began_s, service.spent()
    return {
        "submits a second": jobs / submitted_s,
        "polls a second": jobs / polled_s,
        "one job, median ms": MS * statistics.median(alone_s[WARM_UP:]),
        "jobs a second": jobs / drained_s,
        "CPU of the worker, ms a job": MS * (after["cpu_s"] - before["cpu_s"]) / jobs,
        "round trips of the worker a job": (after["round_trips"] - before["round_trips"]) / jobs,
    }


def long_job(folder: Path, segments: int) -> dict[str, float]:
    """A job of many segments: all that a worker spends on one, Celery and storage among it."""
    with Service("ours", folder / "long") as service:
        service.wait([service.submit()], every_s=0.1)
        before = service.spent()
        service.wait([service.submit("\n\n".join([TEXT] * segments))], every_s=0.2)
        after = service.spent()
    return {
        "CPU of the worker, ms": MS * (after["cpu_s"] - before["cpu_s"]) / segments,
        "round trips of the worker": (after["round_trips"] - before["round_trips"]) / segments,
    }


def ledger_alone(folder: Path, segments: int) -> dict[str, float]:
    """What a worker waits for the ledger: a claim and a commit, one segment after the other."""
    spec = SpeechSpec(task=Task.CUSTOM_VOICE, model="m", language="auto", voice="vivian")
    with (
        RedisServer(folder / "ledger", log=folder / "ledger.log") as redis,
        connect(redis.url) as connection,
    ):
        ledger = Ledger(connection, lease_s=10, max_attempts=3, worker="w")
        ledger.admit("job", spec, [Segment(TEXT, 0, 0)] * segments)
        began_s = time.perf_counter()
        while (claim := ledger.claim("m")) is not None:
            ledger.commit(claim, SegmentResult(key="k", samples=1))
        return {"claim and commit, ms": MS * (time.perf_counter() - began_s) / segments}


def tables(found: dict[str, dict[str, float]]) -> list[Table]:
    """The figures as they are read."""
    both = Table("jobs of one segment", "plain Celery", "ours", "ours ÷ plain")
    for name, plain in found["plain"].items():
        ours = found["ours"][name]
        both.add_row(name, f"{plain:,.1f}", f"{ours:,.1f}", f"{ours / plain:.2f}")
    long = Table("one long job", "a segment")
    for name, value in found["long"].items():
        long.add_row(name, f"{value:.2f}")
    return [both, long]


def main() -> None:
    """Measure, print tables, and write the figures as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=JOBS, help="of each kind; also segments")
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args()
    with TemporaryDirectory() as name:
        folder, jobs = Path(name), asked.jobs
        found: dict[str, Any] = {which: side(which, folder, jobs) for which in ("plain", "ours")}
        found["long"] = ledger_alone(folder, jobs) | long_job(folder, jobs)
    for table in tables(found):
        Console().print(table)
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
