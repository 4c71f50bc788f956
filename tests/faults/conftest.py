"""`make faults`: real processes, real faults. `QUICK=1` injects each a few times only."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from report import Report
from service import Service

from client import Narrator
from client.job import Job

QUICK = os.environ.get("QUICK") == "1"
GREEDY = {"do_sample": False, "subtalker_dosample": False}
REPORT = Report()


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def report() -> Report:
    return REPORT


@pytest.fixture
def times() -> Callable[[int, int], int]:
    """How often: in the whole suite, and in the quick one."""
    return lambda whole, quick: quick if QUICK else whole


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with Service(tmp_path / "service") as service:
        yield service


@pytest.fixture
def narrator(service: Service) -> Iterator[Narrator]:
    with service.narrator() as narrator:
        yield narrator


@pytest.fixture
def submit(narrator: Narrator) -> Callable[[str], str]:
    def send(text: str) -> str:
        return narrator.submit(text, task="custom_voice", voice="vivian", sampling=GREEDY).id

    return send


@pytest.fixture
def sound(narrator: Narrator, tmp_path: Path) -> Callable[[str], str]:
    """The hash of a job's audio."""

    def listen(job_id: str) -> str:
        path = narrator.download(job_id, tmp_path / f"{job_id}.wav")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        path.unlink()
        return digest

    return listen


@pytest.fixture
def count() -> Callable[[list[Job]], tuple[int, int]]:
    """How many of the segments of some jobs were lost, and how many done twice."""

    def compare(jobs: list[Job]) -> tuple[int, int]:
        commits = [sum(job.synthesis.batch_sizes.values()) for job in jobs]
        wanted = [job.segments.total for job in jobs]
        lost = sum(max(0, w - c) for w, c in zip(wanted, commits, strict=True))
        doubled = sum(max(0, c - w) for w, c in zip(wanted, commits, strict=True))
        return lost, doubled

    return compare


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.write_line("\n" + REPORT.table())
    if path := os.environ.get("JSON"):
        REPORT.write(Path(path))
