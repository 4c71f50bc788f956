"""Fault 23: the primary that Sentinels watch dies, or is cut off, and a replica takes its place.

Every accept has waited for a replica (TTS_REDIS_REPLICAS=1), and the Sentinels promote the replica
that has most: so no job that was answered with 202 may be lost. Commits of segments do not wait:
those that the replica lacks are spoken again.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from client.errors import NarrateError
from client.local.process import Child
from client.local.redis_server import RedisServer
from tests.faults.conftest import REPORT, SHORT_LEASES
from tests.faults.service import Service, wait_for
from tests.faults.trial import SHORT, Trial, long_text, meanwhile, times
from tests.support.sentinel import SentinelCluster


class WatchedService(Service):
    """A service on a primary with two replicas and three Sentinels."""

    def __init__(self, folder: Path, cluster: SentinelCluster) -> None:
        self._cluster = cluster
        settings = {"TTS_REDIS_URL": cluster.url, "TTS_REDIS_REPLICAS": "1"}
        super().__init__(folder, **SHORT_LEASES, **settings)

    def start_redis(self) -> None:
        self.redis_child: Child = child_of(self._cluster.primary)


def child_of(server: RedisServer) -> Child:
    assert server.child is not None
    return server.child


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[SentinelCluster]:
    folder = tmp_path / "cluster"
    with SentinelCluster(folder, replicas=2, sentinels=3, min_replicas=1) as cluster:
        yield cluster


@pytest.fixture
def watched(cluster: SentinelCluster, tmp_path: Path) -> Iterator[Trial]:
    with WatchedService(tmp_path / "service", cluster) as service:
        trial = Trial(service, REPORT, tmp_path)
        yield trial
        trial.close()


def submit(trial: Trial) -> None:
    try:
        trial.submit(SHORT)
    except NarrateError as error:
        if not error.transient:
            raise


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "cut off"])
def test_nothing_accepted_is_lost_by_a_failover(
    watched: Trial, cluster: SentinelCluster, number: signal.Signals
) -> None:
    name = "killed" if number == signal.SIGKILL else "cut off, and back"
    with watched.row(f"23 Sentinel: the primary is {name}") as row:
        for _ in range(times(5, 1)):
            wait_for(lambda: len(cluster.synchronised()) == 2, 120)
            watched.service.wait_for_workers()
            long_job = watched.submit(long_text(8))
            with meanwhile(lambda: submit(watched), every_s=0.3):
                watched.wait_for_leases(4)
                before = cluster.primary
                os.kill(child_of(before).pid, number)
                began_s = time.monotonic()
                new = watched.submit_patiently(SHORT)
                row.recovered(time.monotonic() - began_s)
            assert cluster.primary.port != before.port
            if number == signal.SIGKILL:
                cluster.restart(before)
            else:
                os.kill(child_of(before).pid, signal.SIGCONT)
            watched.wait([long_job, new])
        row.note = f"{len(watched.expected)} jobs accepted"
