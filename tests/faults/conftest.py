"""`make faults`: real processes, real faults. `QUICK=1` injects each a few times only."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.report import Report
from tests.faults.service import Service
from tests.faults.trial import QUICK, Trial
from tests.support.s3_server import BUCKET, S3Server

REPORT = Report()
LINES = 60
# Most rows wait for one to run out.
SHORT_LEASES = {"TTS_LEASE_S": "6"} if QUICK else {}


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


class Services:
    """Keeps a service for the next test, if that wants the same settings and nothing failed."""

    def __init__(self, folders: pytest.TempPathFactory) -> None:
        self._folders = folders
        self._settings: dict[str, Any] = {}
        self._running: Service | None = None

    def get(self, settings: dict[str, Any]) -> Service:
        if self._running is None or settings != self._settings:
            self.close()
            folder = self._folders.mktemp("service")
            self._running, self._settings = Service(folder, **settings).__enter__(), settings
        self._running.wait_for_workers()
        return self._running

    def close(self) -> None:
        if self._running:
            self._running.__exit__()
            self._running = None


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    services = Services(tmp_path_factory)
    yield services
    services.close()


@pytest.fixture
def trial(request: pytest.FixtureRequest, services: Services, tmp_path: Path) -> Iterator[Trial]:
    """A running service; `@pytest.mark.service(…)` has its settings."""
    marker = request.node.get_closest_marker("service")
    settings = SHORT_LEASES | (marker.kwargs if marker else {})
    trial = Trial(services.get(settings), REPORT, tmp_path)
    yield trial
    trial.close()
    if request.node.stash.get(FAILED, False):
        services.close()


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[S3Server]:
    with S3Server(tmp_path) as server:
        yield server


@pytest.fixture
def trial_on_s3(s3: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    """A service of its own, whose audio is in S3."""
    folder = tmp_path_factory.mktemp("service")
    settings = SHORT_LEASES | s3.env | {"TTS_STORAGE_URL": f"s3://{BUCKET}/faults"}
    with Service(folder, **settings) as service:
        trial = Trial(service, REPORT, folder)
        yield trial
        trial.narrator.close()


FAILED = pytest.StashKey[bool]()


def _trial_of(item: pytest.Item) -> Trial | None:
    funcargs = getattr(item, "funcargs", {})
    found: Trial | None = funcargs.get("trial") or funcargs.get("trial_on_s3")
    return found


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """A test that fails shows how each process's log ends, and where it lies."""
    report = yield
    if report.failed and (trial := _trial_of(item)):
        item.stash[FAILED] = True
        for path in sorted(trial.service.logs.iterdir()):
            end = path.read_text("utf-8", "replace").splitlines()[-LINES:]
            report.sections.append((f"the end of {path}", "\n".join(end)))
    return report


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "service(**settings): the service that a test wants")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.write_line("\n" + REPORT.table())
    if path := os.environ.get("JSON"):
        REPORT.write(Path(path))
