"""Fault 19: everything at random, under load, with the ledger's invariants checked all along."""

from __future__ import annotations

import os
import random
import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError

from client.models import FINAL_STATUSES
from tests.faults.chaos import EVERYTHING, strike
from tests.faults.report import Row
from tests.faults.trial import QUICK, Trial, doubled, meanwhile
from tests.support.ledger_state import LedgerState

MINUTES = float(os.environ.get("MINUTES") or 20)
OPEN_JOBS = 12
TEXTS = [f"Text {n}.\n\n" + "And so on it went. " * (2 * n) for n in range(8)]
DROPPED = re.compile(r"Dropped (\w+):")


class Load:
    """Keeps some jobs open, cancels a few, and hears each of the others when it has ended."""

    def __init__(self, trial: Trial, row: Row) -> None:
        self._trial, self._row = trial, row
        self._whole = trial.undisturbed(*TEXTS)
        self._open: dict[str, str] = {}
        self.cancelled: set[str] = set()
        self.segments = 0

    def __call__(self) -> None:
        while len(self._open) < OPEN_JOBS:
            text = random.choice(TEXTS)
            self._open[self._trial.submit_patiently(text)] = text
        for job_id in list(self._open):
            if random.random() < 0.005:
                self._trial.cancel(job_id)
            self._hear(job_id)

    def _hear(self, job_id: str) -> None:
        job = self._trial.job(job_id)
        if job.status not in FINAL_STATUSES:
            return
        # Its record will expire before the soak is over.
        text, expected = self._open.pop(job_id), self._trial.expected.pop(job_id)
        assert job.status == expected, job
        if expected == "cancelled":
            self.cancelled.add(job_id)
            return
        assert self._trial.sound(job_id) == self._whole[text]
        self._row.doubled += doubled([job])
        self.segments += job.segments.total


def check(redis: Redis) -> None:
    try:
        state = LedgerState.read(redis)
    except RedisError:
        return  # it is being restarted
    state.check()


def rss_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def growth(sizes: list[float]) -> float:
    """How much larger the last quarter is than the second; the first is for warming up."""
    quarter = max(1, len(sizes) // 4)
    return statistics.median(sizes[-quarter:]) / statistics.median(sizes[quarter : 2 * quarter]) - 1


def over(seconds: float) -> Callable[[], bool]:
    until_s = time.monotonic() + seconds
    return lambda: time.monotonic() > until_s


@pytest.mark.skipif(QUICK, reason="a soak is not quick: make soak")
@pytest.mark.timeout(60 * MINUTES + 900)
@pytest.mark.service(
    workers=3, spared=1, appendfsync="always", TTS_MAX_ATTEMPTS="20", TTS_RESULT_TTL_S="60"
)
def test_soak(trial: Trial) -> None:
    service = trial.service
    with trial.row(f"19 everything at random, {MINUTES:g} min") as row:
        load = Load(trial, row)
        api, spared = list[float](), list[float]()
        with (
            meanwhile(load, every_s=0.2),
            meanwhile(lambda: check(service.redis), every_s=0.5),
            meanwhile(lambda: api.append(rss_mb(service.api.pid)), every_s=1),
            meanwhile(lambda: spared.append(rss_mb(service.workers[-1].pid)), every_s=1),
        ):
            strikes = strike(service, EVERYTHING, every_s=6, until=over(60 * MINUTES))
        row.repetitions = strikes.total()
        began_s = time.monotonic()
        trial.wait(trial.expected)
        row.recoveries_s.append(time.monotonic() - began_s)
        said = DROPPED.findall(service.workers_said())
        twice = sum(job_id not in load.cancelled for job_id in said)
        row.note = (
            f"{load.segments} segments, {twice} spoken twice, {len(load.cancelled)} cancels; "
            f"growth of the API {growth(api):+.1%}, of a worker {growth(spared):+.1%}; "
            f"{dict(strikes)}"
        )
        assert load.segments > 50 * MINUTES
        assert twice <= max(2, 0.02 * load.segments)
        assert growth(api) < 0.05
        assert growth(spared) < 0.05
