"""Fault 26: a rolling upgrade. Processes of the version before work beside those of this one."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path

import pytest

from client import Narrator
from client.local.ports import free_port
from client.local.process import Child, stop
from shared.store.queue_figures import QueueFigures
from tests.faults.conftest import REPORT, SHORT_LEASES
from tests.faults.service import WORKER, Service, wait_for
from tests.faults.test_rolling import is_ready
from tests.faults.trial import SHORT, Trial, long_text, times
from tests.support.ledger_state import LedgerState
from tests.support.paths import ROOT

SENT = ((long_text(6), "normal"), (SHORT, "high"))


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source of the version before."""
    commit = (ROOT / "tests" / "recorded" / "commit_before").read_text().strip()
    folder = tmp_path_factory.mktemp("version") / "before"
    folder.mkdir()
    try:
        archive = subprocess.run(
            ["git", "archive", commit], cwd=ROOT, check=True, capture_output=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip(f"needs git and the commit {commit}, which a shallow clone lacks")
    subprocess.run(["tar", "x"], cwd=folder, input=archive, check=True)
    return folder


class MixedService(Service):
    """The first worker is of the version before unless it is upgraded; so is a second API."""

    def __init__(self, folder: Path, before: Path) -> None:
        super().__init__(folder, **SHORT_LEASES)
        self._env_before = {**self.env, "PYTHONPATH": str(before)}
        self._before, self.is_upgraded = before, False

    def _start_worker(self, index: int) -> Child:
        if index or self.is_upgraded:
            return super()._start_worker(index)
        name = f"worker-{self.workers_started()}-before"
        script = self._before / WORKER.relative_to(ROOT)
        env = self._env_before | {"WORKER": str(index)}
        command = [sys.executable, str(script), "--model", "tiny"]
        return Child(name, command, env=env, log=self.logs / f"{name}.log")

    @contextmanager
    def api_before(self) -> Iterator[str]:
        """The URL of an API of the version before."""
        port = free_port()
        # -P: the working folder, which is of this version, is not searched.
        command = [sys.executable, "-P", "-m", "api", "--port", str(port)]
        log = self.logs / "api-before.log"
        child = Child("the API before", command, env=self._env_before, log=log)
        try:
            url = f"http://127.0.0.1:{port}"
            wait_for(lambda: is_ready(url), 60)
            yield url
        finally:
            stop([child], 10)


def test_two_versions_share_the_work(before: Path, tmp_path: Path) -> None:
    """Under load a worker is upgraded, and set back; clients send to both versions of the API."""
    with (
        MixedService(tmp_path, before) as service,
        service.api_before() as url,
        Narrator(url) as old,
    ):
        trial = Trial(service, REPORT, tmp_path)
        with trial.row("26 two versions beside each other") as row:
            for is_upgraded in (True, False) * times(5, 1):
                for narrator, (sent, priority) in product((trial.narrator, old), SENT):
                    job = narrator.submit(
                        sent, task="custom_voice", voice="vivian", priority=priority
                    )
                    trial.expected[job.id] = "completed"
                trial.wait_for_leases(5)  # more than the 4 slots of one worker
                began_s = time.monotonic()
                service.is_upgraded = is_upgraded
                service.kill(service.workers[0], signal.SIGTERM)
                service.wait_for_workers()
                row.recovered(time.monotonic() - began_s)
                trial.wait(trial.expected)
        assert {old.job(job_id).status for job_id in trial.expected} == {"completed"}
        # Jobs whose last segment the version before took are left out where figures are read.
        QueueFigures.read(service.redis)
        LedgerState.read(service.redis).check(is_upgraded=True)
        trial.close()
