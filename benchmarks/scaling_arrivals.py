"""Real workers with jobs that arrive at random: the seconds until each ends."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.cluster_model import Job, percentile, poisson
from benchmarks.scaling_cluster import SPEC, WITHIN_S, Cluster
from benchmarks.step_times import StepTimes
from shared.broker import WakeUpPublisher, make_celery_app
from shared.document import Segment
from shared.durations import expected_frames
from shared.jobs import TERMINAL
from shared.store.ledger import Ledger
from shared.store.workers import WorkerRegistry

SEGMENTS, FRAMES = 10, 67


def measure_arrivals(options: argparse.Namespace, times: StepTimes) -> dict[str, Any]:
    """The jobs with the seconds that each took, and their median and 95th percentile."""
    workers = options.workers[0]
    jobs = list(poisson(options.arrivals, SEGMENTS, FRAMES, options.seconds))
    with (
        TemporaryDirectory() as name,
        Cluster(Path(name), options.slots, times, is_empty=True) as cluster,
    ):
        cluster.start(workers)
        registry = WorkerRegistry(cluster.connection)
        _wait(lambda: len(registry.workers()) == workers)
        took_s = _send_and_wait(cluster, jobs)
    told = [
        {
            "arrives_s": job.arrives_s,
            "segments": job.segments,
            "frames": expected_frames(_text(job)),
            "owner": job.owner,
            "took_s": took,
        }
        for job, took in zip(jobs, took_s, strict=True)
    ]
    p50_s, p95_s = percentile(took_s, 0.5), percentile(took_s, 0.95)
    return {"workers": workers, "p50_s": p50_s, "p95_s": p95_s, "jobs": told}


def _send_and_wait(cluster: Cluster, jobs: list[Job]) -> list[float]:
    """Admit each job at its time, and return what each took by Redis's clock."""
    ledger = Ledger(cluster.connection, lease_s=10, max_attempts=3)
    wake_ups = WakeUpPublisher(make_celery_app(cluster.redis_url))
    began_s = time.monotonic()
    for number, job in enumerate(jobs):
        time.sleep(max(0.0, began_s + job.arrives_s - time.monotonic()))
        segments = [Segment(_text(job), 0, len(_text(job)))] * job.segments
        ledger.admit(f"job_{number}", SPEC, segments, owner=job.owner)
        wake_ups.publish(SPEC.model, job.segments)
    ids = [f"job_{number}" for number in range(len(jobs))]
    _wait(lambda: all(ledger.job(job_id).status in TERMINAL for job_id in ids))
    wake_ups.close()
    ended = [ledger.job(job_id) for job_id in ids]
    return [(job.completed_at or 0.0) - job.created_at for job in ended]


def _text(job: Job) -> str:
    """Letters that are spoken in the frames of the job's segments."""
    return "x" * int(job.frames * 1.2)


def _wait(condition: Any) -> None:
    until_s = time.monotonic() + WITHIN_S
    while not condition():
        if time.monotonic() > until_s:
            raise TimeoutError(f"not within {WITHIN_S} s")
        time.sleep(0.5)
