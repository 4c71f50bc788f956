"""The throughput of 1, 2, 4 and 8 worker processes on one ledger, with engines that sleep.

The workers, the ledger, Redis, Celery and the storage are the real ones. An engine sleeps for the
measured times of its steps, divided by `--speed`: two cores cannot compute for eight workers.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

# Not this folder: its queue.py would hide Python's.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from rich.console import Console
from rich.table import Table

from benchmarks.line_plot import Line, plot_lines
from benchmarks.scaling_arrivals import measure_arrivals
from benchmarks.scaling_cluster import Cluster, Snapshot
from benchmarks.step_times import MEASURED, SOURCE
from worker.model.tuning_file import processor_name

WORKERS = (1, 2, 4, 8)
SETTLE_S = 5.0  # rows that began together part
SLOTS = 16


def row(before: Snapshot, after: Snapshot, mean_frames: float) -> dict[str, Any]:
    """The figures of a window between two snapshots.

    `segments_per_s` counts the part that was made of each segment: frames by a segment's mean.
    """
    wall_s = after.at_s - before.at_s
    pairs = list(zip(before.workers, after.workers, strict=True))

    def rate(name: str) -> float:
        return sum((new[name] - old[name]) / (new["at_s"] - old["at_s"]) for old, new in pairs)

    committed = after.committed - before.committed
    evals = [name for name in after.steps if name.startswith("eval")]
    in_steps_s = sum(after.steps[n][1] - before.steps.get(n, (0, 0))[1] for n in evals)
    return {
        "workers": len(pairs),
        "segments_per_s": rate("frames") / mean_frames,
        "committed_per_s": committed / wall_s,
        "mean_rows": rate("frames") / rate("steps"),
        "redis_cpu_share": (after.redis_cpu_s - before.redis_cpu_s) / wall_s,
        "redis_ms_per_segment": 1e3 * (after.redis_cpu_s - before.redis_cpu_s) / committed,
        "steps_ms_per_segment": 1e3 * in_steps_s / committed,
        "calls_per_segment": {
            name: round((calls - before.steps.get(name, (0, 0))[0]) / committed, 2)
            for name, (calls, _) in sorted(after.steps.items(), key=lambda each: -each[1][1])[:16]
        },
        "worker_cpu_share": rate("cpu_s") / len(pairs),
        "worker_ms_per_segment": 1e3 * rate("cpu_s") * wall_s / committed,
        "connections_per_worker": (after.connections - 1) / len(pairs),
    }


def with_efficiency(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows, each with its throughput for a worker as a share of that of one worker alone."""
    alone = rows[0]["segments_per_s"] / rows[0]["workers"]
    return [
        each | {"efficiency": each["segments_per_s"] / each["workers"] / alone} for each in rows
    ]


def measure(workers: tuple[int, ...], seconds: float, options: argparse.Namespace) -> Any:
    """A row for each number of workers; the smallest number has the longest window."""
    rows = []
    with TemporaryDirectory() as name:
        times = MEASURED[options.precision].faster(options.speed)
        with Cluster(Path(name), options.slots, times) as cluster:
            for count in workers:
                cluster.grow(count)
                time.sleep(SETTLE_S)
                before = cluster.snapshot()
                time.sleep(seconds * (2 if count == workers[0] else 1))
                rows.append(row(before, cluster.snapshot(), cluster.mean_frames))
    return _setting(options) | {
        "mean_frames": cluster.mean_frames,
        "rows": with_efficiency(rows),
    }


def _setting(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "processor": processor_name(),
        "precision": options.precision,
        "speed": options.speed,
        "slots": options.slots,
        "steps_measured_in": SOURCE,
    }


def table(found: dict[str, Any]) -> Table:
    """The figures as they are read."""
    heads = ("workers", "segments/s", "efficiency", "rows", "Redis CPU", "ms a segment")
    shown = Table(*heads, "worker CPU", "ms a segment", "connections")
    for each in found["rows"]:
        shown.add_row(
            str(each["workers"]),
            f"{each['segments_per_s']:.1f}",
            f"{each['efficiency']:.1%}",
            f"{each['mean_rows']:.2f}",
            f"{each['redis_cpu_share']:.1%}",
            f"{each['redis_ms_per_segment']:.2f}",
            f"{each['worker_cpu_share']:.1%}",
            f"{each['worker_ms_per_segment']:.1f}",
            f"{each['connections_per_worker']:.1f}",
        )
    return shown


def plot(found: dict[str, Any]) -> str:
    """The throughput of each number of workers, beside a straight line from that of one."""
    rows = found["rows"]
    counts = [each["workers"] for each in rows]
    alone = rows[0]["segments_per_s"] / counts[0]
    lines = [
        Line("ideal", [(count, count * alone) for count in counts], "#888", dashed=True),
        Line("measured", [(each["workers"], each["segments_per_s"]) for each in rows], "#2f8f5b"),
    ]
    title = f"Segments a second, {found['processor']}, engines that sleep"
    return plot_lines(title, "worker processes", "segments/s", lines)


def main() -> None:
    """Measure, print a table, and write figures and a picture if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, nargs="+", default=WORKERS, metavar="N")
    parser.add_argument("--seconds", type=float, default=25, help="of each number of workers")
    parser.add_argument("--slots", type=int, default=SLOTS)
    parser.add_argument("--precision", choices=MEASURED, default="int8")
    parser.add_argument(
        "--speed", type=float, default=4, help="how many times as fast as measured (default: 4)"
    )
    parser.add_argument(
        "--arrivals",
        type=float,
        metavar="JOBS_PER_S",
        help="instead: the times until jobs end that arrive at random, with the first of --workers",
    )
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--plot", type=Path, metavar="FILE.svg")
    options = parser.parse_args()
    if any(low >= high for low, high in pairwise(options.workers)) or options.workers[0] < 1:
        parser.error("--workers are numbers that grow, such as 1 2 4 8")
    if options.arrivals and options.plot:
        parser.error("--arrivals has no picture")
    if options.arrivals:
        times = MEASURED[options.precision].faster(options.speed)
        ended = measure_arrivals(options, times)
        found = {"arrivals": ended, **_setting(options)}
        Console().print(
            f"{len(ended['jobs'])} jobs: p50 {ended['p50_s']:.2f} s, p95 {ended['p95_s']:.2f} s"
        )
    else:
        found = measure(tuple(options.workers), options.seconds, options)
        Console().print(table(found))
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    if options.plot:
        options.plot.write_text(plot(found))


if __name__ == "__main__":
    main()
