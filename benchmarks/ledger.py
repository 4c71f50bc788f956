"""A ledger of 100,000 open segments and 10,000 jobs: what its steps take, and what it weighs.

Latency is a caller's, with the way to a Redis on this machine; `in Redis` is the time of the Lua
step by Redis's own count. While a step runs, Redis answers no other client.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

# Not this folder: its queue.py would hide Python's.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from redis import Redis
from rich.console import Console
from rich.table import Table

from client.local.redis_server import RedisServer
from shared.broker import queue_name
from shared.document import Segment
from shared.jobs import Claim, SegmentResult, SpeechSpec
from shared.models import ModelCard
from shared.speech_model import Task
from shared.store.connection import connect
from shared.store.job_list import JobList
from shared.store.ledger import Ledger
from shared.store.queue_state import QueueState
from shared.store.workers import WorkerRegistry
from worker.model.tuning_file import processor_name

MODEL = "m"
CARD = ModelCard(
    id=MODEL,
    task=Task.CUSTOM_VOICE,
    size="none",
    voices=("vivian",),
    languages=("auto",),
    instructions=False,
)
SPEC = SpeechSpec(task=Task.CUSTOM_VOICE, model=MODEL, voice="vivian")
JOBS, SEGMENTS_PER_JOB, OWNERS = 10_000, 10, 100
CHARS = 150  # 10 s of speech
WORKERS, SLOTS = 50, 16  # their leases are in the ledger, too
GOAL_MS = 5.0
# Pages of five times the default: shown, and no part of the goal.
LARGE = ("list 100 of an owner's jobs", "list 100 of all jobs")


class Timer:
    """Times calls from outside, and the commands and steps that they cause from inside Redis."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self.rows: list[dict[str, Any]] = []

    def time(self, name: str, calls: Sequence[Callable[[], Any]]) -> list[Any]:
        """Call each; adds a row, and returns what they returned."""
        before_s, results, times_ms = self._spent_s(), [], []
        for call in calls:
            began_s = time.perf_counter()
            results.append(call())
            times_ms.append(1e3 * (time.perf_counter() - began_s))
        in_redis_ms = 1e3 * (self._spent_s() - before_s) / len(calls)
        centiles = statistics.quantiles(times_ms, n=100)
        self.rows.append(
            {
                "step": name,
                "calls": len(calls),
                "p50_ms": statistics.median(times_ms),
                "p99_ms": centiles[98],
                "redis_ms": in_redis_ms,
            }
        )
        return results

    def _spent_s(self) -> float:
        """CPU seconds of Redis: its own reading of requests and writing of the log is in it."""
        cpu: dict[str, Any] = self._redis.info("cpu")
        return float(cpu["used_cpu_user"] + cpu["used_cpu_sys"])


def fill(redis: Redis, jobs: int) -> dict[str, float]:
    """Admit all jobs; returns the bytes of a job and of a segment in Redis.

    Jobs of one segment and jobs of many are compared: their difference is that of segments alone.
    """
    ledger = Ledger(redis, lease_s=10, max_attempts=3)
    empty = _bytes(redis)
    for number in range(jobs // 10):
        _admit(ledger, f"single_{number}", 1, number)
    singles = _bytes(redis)
    for number in range(jobs - jobs // 10):
        _admit(ledger, f"job_{number}", SEGMENTS_PER_JOB, number)
    all_bytes = _bytes(redis)
    more = jobs - jobs // 10
    single = (singles - empty) / (jobs // 10)
    segment = ((all_bytes - singles) / more - single) / (SEGMENTS_PER_JOB - 1)
    # Up to the segments that the goal names.
    _admit(ledger, "book", 100_000 - jobs // 10 - more * SEGMENTS_PER_JOB, 0)
    return {"job_bytes": single - segment, "segment_bytes": segment}


def _admit(ledger: Ledger, job: str, segments: int, number: int) -> None:
    texts = [Segment("x" * CHARS, at * CHARS, (at + 1) * CHARS) for at in range(segments)]
    if texts:
        ledger.admit(job, SPEC, texts, owner=f"owner{number % OWNERS}")


def _bytes(redis: Redis) -> int:
    return int(redis.info("memory")["used_memory"])


def measure(redis: Redis, calls: int) -> list[dict[str, Any]]:
    """The rows of each kind of step in a full ledger."""
    timer, registry, jobs = Timer(redis), WorkerRegistry(redis), JobList(redis)
    ledgers = [
        Ledger(redis, lease_s=60, max_attempts=3, worker=f"w{number}") for number in range(WORKERS)
    ]
    ledger = ledgers[0]
    for number in range(WORKERS):
        registry.sign_in(f"w{number}", CARD)
    held = [claim for each in ledgers for _ in range(SLOTS) if (claim := each.claim(MODEL))]
    # Each claim in its turn is committed: as many leases as before.
    claimed = timer.time("claim", [lambda: ledger.claim(MODEL) for _ in range(calls)])
    claims: list[Claim] = [claim for claim in claimed if claim]
    commits = [
        lambda claim=claim: ledger.commit(claim, SegmentResult(key="k", samples=240_000))
        for claim in claims
    ]
    timer.time("commit", commits)
    mine = held[:SLOTS]
    timer.time("renew 16 leases", [lambda: ledger.renew(mine) for _ in range(calls)])
    timer.time("sign in", [lambda: registry.sign_in("w0", CARD) for _ in range(calls)])
    timer.time("reconcile, not due", [ledger.reconcile for _ in range(calls)])
    ids = [f"job_{number * 7 % (JOBS // 2)}" for number in range(calls)]
    timer.time("poll a job", [lambda id=id: ledger.job(id) for id in ids])
    for limit in (20, 100):
        page = [lambda limit=limit: _page(jobs, "owner20", limit) for _ in range(calls // 4)]
        timer.time(f"list {limit} of an owner's jobs", page)
        page = [lambda limit=limit: _page(jobs, None, limit) for _ in range(calls // 4)]
        timer.time(f"list {limit} of all jobs", page)
    timer.time("state of the queue", [lambda: QueueState.read(redis) for _ in range(calls // 4)])
    admits = [lambda at=at: _admit(ledger, f"new_{at}", 1, at) for at in range(calls)]
    timer.time("admit a job of one segment", admits)
    assert redis.llen(queue_name(MODEL)) == 0
    return timer.rows


def _page(jobs: JobList, owner: str | None, limit: int) -> object:
    return jobs.page(owner, limit=limit, keep=lambda _job: True)


def table(rows: list[dict[str, Any]]) -> Table:
    """The rows as they are read."""
    shown = Table("step", "median, ms", "p99, ms", "CPU of Redis, ms")
    for row in rows:
        times = (f"{row[name]:.2f}" for name in ("p50_ms", "p99_ms", "redis_ms"))
        shown.add_row(row["step"], *times)
    return shown


def main() -> None:
    """Fill a ledger, measure, and print; exit code 1 if a median is over the goal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1_000, help="of each step")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    with ExitStack() as opened:
        folder = Path(opened.enter_context(TemporaryDirectory()))
        server = opened.enter_context(RedisServer(folder, log=folder / "redis.log"))
        redis = opened.enter_context(connect(server.url))
        sizes = fill(redis, JOBS)
        # As the API does: a search of all that is there for garbage is no part of a list.
        gc.collect()
        gc.freeze()
        rows = measure(redis, options.calls)
        used = _bytes(redis)
    console = Console()
    console.print(table(rows))
    told = ", ".join(f"{name.removesuffix('_bytes')} {value:,.0f}" for name, value in sizes.items())
    console.print(f"{processor_name()}; bytes in Redis: {told}; all {used / 2**20:,.0f} MiB")
    if options.json:
        found = {"processor": processor_name(), "used_bytes": used, **sizes, "rows": rows}
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    slow = [row["step"] for row in rows if row["p50_ms"] > GOAL_MS and row["step"] not in LARGE]
    if slow:
        sys.exit(f"over {GOAL_MS:g} ms: {', '.join(slow)}")


if __name__ == "__main__":
    main()
