"""What the front end costs: submits and polls a second, beside a bare route, in turns in one run.

`python benchmarks/http.py [--seconds N] [--rounds N] [--json FILE]`. Server, Redis and the client
that asks share the cores of the machine, so the ratio tells more than the figures do.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

# Not this folder: its http.py would hide Python's.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import httpx
from rich.console import Console
from rich.table import Table

from client.local.ports import free_port
from client.local.process import Child, stop
from client.local.redis_server import RedisServer
from shared.models import ModelCard
from shared.speech_model import Task
from shared.store.connection import connect
from shared.store.workers import WorkerRegistry

ROOT = Path(__file__).resolve().parents[1]
CARD = ModelCard(
    id="bench",
    task=Task.CUSTOM_VOICE,
    size="0.6B",
    voices=("vivian",),
    languages=("auto",),
    instructions=False,
)
LOAD = [sys.executable, "-m", "benchmarks.http_load"]


class Row(NamedTuple):
    """One line of the table."""

    side: str
    workers: int
    what: str
    per_s: float
    p50_ms: float
    p99_ms: float


def main() -> None:
    """Measure both sides in turns, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = [row for workers in (1, 2) for row in compare(workers, options)]
    Console().print(table(rows))
    if options.json:
        options.json.write_text(json.dumps([row._asdict() for row in rows], indent=2))


def table(rows: list[Row]) -> Table:
    """The rows, each with its ratio to the bare one."""
    shown = Table("side", "workers", "what", "per s", "p50 ms", "p99 ms", "ratio")
    bare = {(row.workers, row.what): row.per_s for row in rows if row.side == "bare"}
    for row in rows:
        ratio = row.per_s / bare[row.workers, row.what]
        times = (f"{row.per_s:.0f}", f"{row.p50_ms:.1f}", f"{row.p99_ms:.1f}", f"{ratio:.2f}")
        shown.add_row(row.side, str(row.workers), row.what, *times)
    return shown


def compare(workers: int, options: argparse.Namespace) -> list[Row]:
    """Both sides with so many processes."""
    sides = ("ours", "bare")
    seen: dict[tuple[str, str], list[dict[str, float]]] = {}
    with ExitStack() as started:
        ports = {side: started.enter_context(serving(side, workers)) for side in sides}
        for _ in range(options.rounds):
            for what in ("submit", "poll"):
                for side in sides:
                    command = [*LOAD, str(ports[side]), what, str(options.seconds)]
                    told = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
                    seen.setdefault((side, what), []).append(json.loads(told.stdout))
    return [
        Row(
            side,
            workers,
            what,
            *(statistics.median(each[k] for each in found) for k in ("per_s", "p50_ms", "p99_ms")),
        )
        for (side, what), found in seen.items()
    ]


@contextmanager
def serving(side: str, workers: int) -> Iterator[int]:
    """One side with a Redis of its own; yields its port."""
    with TemporaryDirectory() as folder, RedisServer(Path(folder) / "redis") as redis:
        port = free_port()
        where = ["--port", str(port), "--workers", str(workers)]
        command = {
            "ours": ["-m", "api"],
            "bare": ["-m", "benchmarks.http_bare"],
        }[side]
        env = {
            **os.environ,
            "TTS_REDIS_URL": redis.url,
            "TTS_STORAGE_URL": Path(folder).as_uri(),
            "TTS_MAX_OPEN_JOBS": "100000000",
            "TTS_MAX_OPEN_SEGMENTS": "100000000",
            "TTS_MAX_OPEN_CHARS": "100000000000",
            "PYTHONPATH": str(ROOT),
        }
        log = Path(folder) / "log"
        WorkerRegistry(connect(redis.url)).sign_in("w", CARD)
        child = Child(side, [sys.executable, *command, *where], env=env, log=log)
        try:
            wait_for(f"http://127.0.0.1:{port}/openapi.json", child)
            yield port
        finally:
            stop([child], 10)


def wait_for(url: str, child: Child) -> None:
    """Return when a server answers."""
    while True:
        child.check()
        try:
            httpx.get(url).raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.1)
        else:
            return


if __name__ == "__main__":
    main()
