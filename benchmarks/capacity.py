"""The workers that a load needs, the end of one Redis, and the model's distance to real runs.

    python benchmarks/capacity.py --jobs-per-s 0.5 --segments 20 --p95 300
    python benchmarks/capacity.py --trace arrivals.csv --workers 8
    python benchmarks/capacity.py --ends --plot FILE.svg
    python benchmarks/capacity.py --check SCALING.json

A trace has the columns `arrives_s`, `segments` and `frames` (12.5 a second of speech), and `owner`
if there are several. The model is `benchmarks/cluster_model.py`.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from math import ceil
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

# Not this folder: its queue.py would hide Python's.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from rich.console import Console
from rich.table import Table

from benchmarks.cluster_model import BEATS_PER_S, Cluster, Job, RedisTimes, percentile, poisson
from benchmarks.line_plot import Line, plot_lines
from benchmarks.step_times import MEASURED, StepTimes

# `python benchmarks/ledger.py` on an AMD EPYC (Zen 3); --redis FILE reads other figures.
# What `scaling.py` saw Redis spend on a segment beyond these is Celery's part.
REDIS = RedisTimes(
    admit_s=0.37e-3, claim_s=0.41e-3, commit_s=0.31e-3, beat_s=0.75e-3, message_s=1.3e-3
)
MAX_WORKERS = 16_384
MAX_DEVIATION = 0.15
SWEEP = (1, 10, 30, 100, 300, 500, 700, 1_000, 1_300, 3_000, 10_000)
# Workers of one ledger, where there are several: about two thirds of what one Redis can do.
LEDGER_WORKERS = 500


class Answer(NamedTuple):
    """The outcome of a load for a number of workers; times in seconds."""

    workers: int
    p50_s: float
    p95_s: float
    p95_wait_s: float
    unfinished: int
    redis_share: float


def read_trace(path: Path) -> list[Job]:
    """The jobs of a CSV, in the order of their arrival; raises `ValueError`."""
    try:
        with path.open(newline="") as file:
            jobs = [_job_of(row) for row in csv.DictReader(file)]
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path}: it needs the columns arrives_s, segments, frames") from error
    if not jobs or min(min(job.segments, job.frames) for job in jobs) < 1:
        raise ValueError(f"{path}: a trace has jobs, each of 1 segment and 1 frame or more")
    return sorted(jobs, key=lambda job: job.arrives_s)


def _job_of(row: dict[str, str]) -> Job:
    segments, frames = int(row["segments"]), int(row["frames"])
    return Job(float(row["arrives_s"]), segments, frames, owner=row.get("owner") or "")


def simulate(
    jobs: Sequence[Job], workers: int, slots: int, times: StepTimes, redis: RedisTimes
) -> Answer:
    """Let the jobs be spoken; what has not ended an hour after the last arrival is unfinished."""
    fresh = [Job(each.arrives_s, each.segments, each.frames, each.owner) for each in jobs]
    cluster = Cluster(workers, slots, times, redis)
    cluster.run(fresh, until_s=fresh[-1].arrives_s + 3_600)
    never = float("inf")
    took_s = [(job.ended_s or never) - job.arrives_s for job in fresh]
    waited_s = [(job.began_s or never) - job.arrives_s for job in fresh]
    return Answer(
        workers,
        percentile(took_s, 0.5),
        percentile(took_s, 0.95),
        percentile(waited_s, 0.95),
        len(fresh) - len(cluster.ended),
        sum(_redis_s(job, redis) for job in fresh) / fresh[-1].arrives_s
        + cluster.redis.beats_share,
    )


def _redis_s(job: Job, redis: RedisTimes) -> float:
    return redis.admit_s + job.segments * (redis.message_s + redis.claim_s + redis.commit_s)


def workers_for(
    jobs: Sequence[Job], p95_s: float, slots: int, times: StepTimes, redis: RedisTimes
) -> Answer:
    """The fewest workers that end 95 % of the jobs in time; raises `ValueError` if none do."""
    few, many = 0, 1
    while (best := simulate(jobs, many, slots, times, redis)).p95_s > p95_s:
        if many >= MAX_WORKERS:
            raise ValueError(
                f"{many} workers have a p95 of {best.p95_s:.0f} s: a job alone may take longer, or "
                "one Redis is not enough (docs/scaling.md)"
            )
        few, many = many, 2 * many
    while many - few > 1:
        middle = (few + many) // 2
        found = simulate(jobs, middle, slots, times, redis)
        if found.p95_s <= p95_s:
            many, best = middle, found
        else:
            few = middle
    return best


def saturated(
    workers: int,
    slots: int,
    times: StepTimes,
    redis: RedisTimes,
    *,
    frames: float,
    seconds: float | None = None,
) -> tuple[float, float]:
    """Segments a second of workers that always have work, and the share of Redis.

    What is made in the first third of the time, while rows fill and part, is not counted.
    """
    alone_s = frames * times.step_s(slots)
    until_s = seconds or 12 * alone_s
    random = Random(1)
    total = int(2 * workers * slots * until_s / alone_s) + 100
    # Of one segment each: the fair queue takes more segments of a job whose segments are short.
    jobs = [
        Job(0.0, 1, round(frames * random.uniform(0.5, 1.5)), owner=f"owner{number % 20}")
        for number in range(total)
    ]
    # All are there at once: to admit them is no part of what is measured.
    cluster = Cluster(workers, slots, times, replace(redis, admit_s=0.0))
    cluster.run(jobs, until_s=until_s / 3)
    before, before_s = cluster.frames, cluster.redis.busy_s
    cluster.env.run(until=until_s)
    spent_s = until_s * 2 / 3
    share = (cluster.redis.busy_s - before_s) / spent_s + cluster.redis.beats_share
    return (cluster.frames - before) / spent_s / frames, share


def check(found: dict[str, Any], redis: RedisTimes) -> list[dict[str, float]]:
    """The model beside each row of a real run of `scaling.py`."""
    times = MEASURED[found["precision"]].faster(found["speed"])
    rows = []
    for real in found["rows"]:
        frames = found["mean_frames"]
        model, _ = saturated(real["workers"], found["slots"], times, redis, frames=frames)
        measured = real["segments_per_s"]
        row = {"workers": real["workers"], "measured": measured, "simulated": model}
        rows.append(row | {"deviation": model / measured - 1})
    return rows


def check_arrivals(found: dict[str, Any], redis: RedisTimes) -> list[dict[str, float]]:
    """The model beside a real run of `scaling.py --arrivals`: seconds until jobs end."""
    times, real = MEASURED[found["precision"]].faster(found["speed"]), found["arrivals"]
    jobs = [
        Job(each["arrives_s"], each["segments"], each["frames"], each["owner"])
        for each in real["jobs"]
    ]
    model = simulate(jobs, real["workers"], found["slots"], times, redis)
    pairs = ((real["p50_s"], model.p50_s), (real["p95_s"], model.p95_s))
    return [
        {
            "workers": real["workers"],
            "measured": measured,
            "simulated": simulated,
            "deviation": simulated / measured - 1,
        }
        for measured, simulated in pairs
    ]


def read_redis(path: Path) -> RedisTimes:
    """The times of a file that `ledger.py --json` wrote."""
    rows = {row["step"]: row["redis_ms"] / 1e3 for row in json.loads(path.read_text())["rows"]}
    beat_s = sum(rows[name] for name in ("renew 16 leases", "sign in", "reconcile, not due"))
    return RedisTimes(
        admit_s=rows["admit a job of one segment"],
        claim_s=rows["claim"],
        commit_s=rows["commit"],
        beat_s=beat_s,
        message_s=REDIS.message_s,
    )


def ends(options: argparse.Namespace, times: StepTimes, redis: RedisTimes) -> None:
    """Show how far one Redis goes: throughput by the number of workers, all with work."""

    def rate_and_share(workers: int) -> tuple[float, float]:
        beats_share = workers * redis.beat_s * BEATS_PER_S
        if beats_share >= 1:  # heartbeats alone are more than there is time for
            return 0.0, beats_share
        return saturated(workers, options.slots, times, redis, frames=options.frames)

    found = {workers: rate_and_share(workers) for workers in SWEEP}
    alone, of_ledger = found[1][0], found[LEDGER_WORKERS][0]
    shown = Table("workers", "segments/s", "efficiency", "of one Redis", "ledgers", "segments/s")
    several = {}
    for workers, (rate, share) in found.items():
        ledgers = ceil(workers / LEDGER_WORKERS)
        several[workers] = rate if ledgers == 1 else of_ledger * workers / LEDGER_WORKERS
        one = f"{rate:,.1f}", f"{rate / workers / alone:.1%}", f"{share:.0%}"
        shown.add_row(f"{workers:,}", *one, str(ledgers), f"{several[workers]:,.1f}")
    Console().print(shown)
    if options.plot:
        lines = [
            Line(f"{LEDGER_WORKERS} workers a ledger", list(several.items()), "#4c78a8"),
            Line("one Redis", [(n, rate) for n, (rate, _) in found.items() if rate], "#e08a1e"),
        ]
        title = f"Simulated segments a second, {options.slots} rows a worker"
        options.plot.write_text(plot_lines(title, "workers", "segments/s", lines))


def main() -> None:
    """Answer what the options ask."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    asked = parser.add_mutually_exclusive_group(required=True)
    asked.add_argument("--jobs-per-s", type=float, help="jobs that arrive at random")
    asked.add_argument("--trace", type=Path, metavar="FILE.csv", help="jobs that arrived")
    asked.add_argument("--ends", action="store_true", help="where one Redis ends")
    asked.add_argument("--check", type=Path, metavar="SCALING.json", help="compare with real runs")
    parser.add_argument("--segments", type=int, default=20, help="of a job, with --jobs-per-s")
    parser.add_argument("--frames", type=int, default=125, help="of a segment (default: 10 s)")
    parser.add_argument("--seconds", type=float, default=3_600, help="for which jobs arrive")
    goal = parser.add_mutually_exclusive_group()
    goal.add_argument(
        "--p95", type=float, metavar="S", help="seconds from a job's arrival to its end"
    )
    goal.add_argument("--workers", type=int, help="what this many do with the load")
    parser.add_argument("--slots", type=int, default=16)
    parser.add_argument("--precision", choices=MEASURED, default="int8")
    parser.add_argument("--speed", type=float, default=1, help="times as fast as measured")
    parser.add_argument("--redis", type=Path, metavar="LEDGER.json", help="figures of ledger.py")
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="with --ends")
    options = parser.parse_args()
    times = MEASURED[options.precision].faster(options.speed)
    redis = read_redis(options.redis) if options.redis else REDIS
    try:
        if options.ends:
            ends(options, times, redis)
        elif options.check:
            real = json.loads(options.check.read_text())
            is_throughput = "rows" in real
            _show_check((check if is_throughput else check_arrivals)(real, redis), is_throughput)
        else:
            _show_answer(options, times, redis)
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")


def _show_check(rows: list[dict[str, float]], is_throughput: bool) -> None:
    names = ["segments/s"] * len(rows) if is_throughput else ["p50, s", "p95, s"]
    shown = Table("workers", "", "measured", "simulated", "deviation")
    for name, row in zip(names, rows, strict=True):
        figures = f"{row['measured']:.2f}", f"{row['simulated']:.2f}", f"{row['deviation']:+.1%}"
        shown.add_row(str(row["workers"]), name, *figures)
    Console().print(shown)
    if any(abs(row["deviation"]) > MAX_DEVIATION for row in rows):
        sys.exit(f"the model is more than {MAX_DEVIATION:.0%} away from the run")


def _show_answer(options: argparse.Namespace, times: StepTimes, redis: RedisTimes) -> None:
    if options.trace:
        jobs = read_trace(options.trace)
    else:
        load = (options.jobs_per_s, options.segments, options.frames, options.seconds)
        jobs = list(poisson(*load))
    if not jobs:
        raise ValueError("no job arrives: raise --jobs-per-s or --seconds")
    if options.workers:
        found = simulate(jobs, options.workers, options.slots, times, redis)
    else:
        found = workers_for(jobs, options.p95 or 600.0, options.slots, times, redis)
    shown = Table("workers", "jobs", "p50, s", "p95, s", "p95 until it begins, s", "Redis")
    seconds = (f"{value:.1f}" for value in (found.p50_s, found.p95_s, found.p95_wait_s))
    shown.add_row(f"{found.workers:,}", f"{len(jobs):,}", *seconds, f"{found.redis_share:.1%}")
    Console().print(shown)
    if found.unfinished:
        Console().print(f"{found.unfinished} jobs have not ended an hour after the last arrival.")


if __name__ == "__main__":
    main()
