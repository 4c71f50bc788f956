"""Fault 26: a rolling upgrade. Processes of the version before work beside those of this one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from client import Narrator
from client.local.ports import free_port
from client.local.process import Child, stop
from tests.faults.conftest import REPORT, SHORT_LEASES
from tests.faults.service import Service, wait_for
from tests.faults.test_rolling import is_ready
from tests.faults.trial import SHORT, Trial, long_text, times
from tests.support.paths import ROOT


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
    """The first worker is of the version before, until it is replaced; so is a second API."""

    def __init__(self, folder: Path, before: Path) -> None:
        super().__init__(folder, **SHORT_LEASES)
        self._before, self.is_upgraded = before, False

    def _start_worker(self, index: int) -> Child:
        if index or self.is_upgraded:
            return super()._start_worker(index)
        name = f"worker-{self.workers_started()}-before"
        worker = self._before / "tests" / "faults" / "faulty_worker.py"
        command = [sys.executable, str(worker), "--model", "tiny"]
        return Child(name, command, env=self.env_before, log=self.logs / f"{name}.log")

    @property
    def env_before(self) -> dict[str, str]:
        return {**self.env, "PYTHONPATH": str(self._before)}

    def launch_api_before(self, port: int) -> Child:
        # -P: the working folder, which is of this version, is not searched.
        command = [sys.executable, "-P", "-m", "api", "--port", str(port)]
        log = self.logs / "api-before.log"
        return Child("the API before", command, env=self.env_before, log=log)


def test_two_versions_share_the_work(before: Path, tmp_path: Path) -> None:
    text, port = long_text(6), free_port()
    with MixedService(tmp_path, before) as service:
        old_api = service.launch_api_before(port)
        try:
            wait_for(lambda: is_ready(f"http://127.0.0.1:{port}"), 60)
            trial = Trial(service, REPORT, tmp_path)
            old = Narrator(f"http://127.0.0.1:{port}")
            with trial.row("26 two versions beside each other") as row:
                for _ in range(times(5, 1)):
                    for narrator in (trial.narrator, old):
                        for sent in (text, SHORT):
                            job = narrator.submit(sent, task="custom_voice", voice="vivian")
                            trial.expected[job.id] = "completed"
                    trial.wait_for_leases(5)  # of 4 slots: both versions speak
                    service.is_upgraded = True
                    child = service.workers[0]
                    os.kill(child.pid, signal.SIGTERM)
                    row.recovered(wait_for(lambda child=child: child.exit_code is not None, 30))
                    service.wait_for_workers()
                    trial.wait(trial.expected)
            assert old.job(next(iter(trial.expected))).status == "completed"
            old.close()
            trial.close()
        finally:
            stop([old_api], 10)
