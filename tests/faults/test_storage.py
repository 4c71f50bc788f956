"""Faults 17 and 21: the storage is gone, full or silent. No part of a file is ever to be seen."""

from __future__ import annotations

import resource
import statistics
import struct
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import httpx
import pytest

from tests.faults.trial import SHORT, Trial, long_text, meanwhile, times
from tests.support.processes import frozen
from tests.support.s3_server import S3Server

TEXT = long_text(8)
Fails = Callable[[Trial], AbstractContextManager[None]]


def assert_whole(folder: Path) -> None:
    """Every WAV in the folder is as long as its header says; drafts have other names."""
    for path in folder.rglob("*.wav"):
        content = path.read_bytes()
        assert content[:4] == b"RIFF", path
        assert struct.unpack("<I", content[4:8])[0] + 8 == len(content), path


@contextmanager
def gone(trial: Trial) -> Iterator[None]:
    """As a mount that was lost: a file is where the folder was."""
    results = trial.service.results
    aside = results.rename(results.with_name("aside"))
    results.touch()
    yield
    results.unlink()
    aside.rename(results)


@contextmanager
def full(trial: Trial) -> Iterator[None]:
    """As on a full disk, each worker's writes fail, in the middle of a file and after it."""
    workers = [child.pid for child in trial.service.workers]
    for pid in workers:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (9_000, resource.RLIM_INFINITY))
    yield
    for pid in workers:
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, unlimited)


@pytest.mark.parametrize("fails", [gone, full])
def test_a_storage_that_fails_is_waited_for(trial: Trial, fails: Fails) -> None:
    service, away_s = trial.service, times(30, 8)
    with trial.row(f"17 storage {fails.__name__} for {away_s} s") as row:
        whole = trial.undisturbed(TEXT)[TEXT]
        for _ in range(times(5, 1)):
            jobs = [trial.submit(TEXT) for _ in range(2)]
            trial.wait_for_leases(8)
            with meanwhile(lambda: assert_whole(service.results), every_s=0.05):
                with fails(trial):
                    jobs.append(trial.submit(SHORT))
                    time.sleep(away_s)
                    assert trial.job(jobs[0]).status == "in_progress"
                began_s = time.monotonic()
                trial.wait(jobs)
            row.recovered(time.monotonic() - began_s)
            assert [trial.sound(job) for job in jobs[:2]] == [whole, whole]
            assert trial.attempts(jobs[0]) == 8  # what was spoken was kept
        drafts = [path for path in service.results.rglob("*") if "#" in path.name]
        assert drafts == []


DOWNLOADS = 45
BODY = {"task": "custom_voice", "voice": "vivian", "input": SHORT}


def p99(times_s: list[float]) -> float:
    return statistics.quantiles(times_s, n=100, method="inclusive")[98]


def test_s3_stops_under_downloads(trial_on_s3: Trial, s3: S3Server) -> None:
    trial, frozen_s = trial_on_s3, times(20, 8)
    url = trial.service.url
    with trial.row(f"21 S3 stopped for {frozen_s} s under {DOWNLOADS} downloads") as row:
        whole = trial.undisturbed(TEXT)[TEXT]
        done = trial.submit(TEXT)
        trial.wait([done])
        for _ in range(times(5, 1)):
            submitted, polled, refused = list[float](), list[float](), list[float]()
            job = trial.submit(TEXT)
            trial.wait_for_leases(4)
            with frozen(s3.child), ThreadPoolExecutor(DOWNLOADS) as threads:
                until_s = time.monotonic() + frozen_s
                going = [
                    threads.submit(download, url, done, until_s, refused) for _ in range(DOWNLOADS)
                ]
                with httpx.Client(base_url=url, timeout=30) as http:
                    while time.monotonic() < until_s:
                        submitted.append(submit(http, trial))
                        polled.append(timed(http, f"/v1/jobs/{job}", 200))
                        timed(http, "/healthz", 200)
                for each in going:
                    each.result()
            began_s = time.monotonic()
            trial.wait([job])
            row.recovered(time.monotonic() - began_s)
            row.note = (
                f"submit p99 {p99(submitted):.2f} s, poll p99 {p99(polled):.2f} s, "
                f"refused downloads {len(refused)}, at most {max(refused):.2f} s each"
            )
            assert p99(submitted) < 1
            assert p99(polled) < 1
            assert max(refused) <= 5
            assert trial.sound(job) == whole
            assert trial.attempts(job) == 8  # a worker that waits for its storage loses nothing


def download(url: str, job: str, until_s: float, refused: list[float]) -> None:
    """Ask for a job's audio again and again, and note how long each refusal took."""
    with httpx.Client(base_url=url, timeout=30) as http:
        while time.monotonic() < until_s:
            refused.append(timed(http, f"/v1/jobs/{job}/content", 503))


def timed(http: httpx.Client, path: str, status: int) -> float:
    began_s = time.monotonic()
    answer = http.get(path)
    assert answer.status_code == status, answer.text
    return time.monotonic() - began_s


def submit(http: httpx.Client, trial: Trial) -> float:
    began_s = time.monotonic()
    answer = http.post("/v1/jobs", json=BODY)
    assert answer.status_code == 202, answer.text
    trial.expected[answer.json()["id"]] = "completed"
    time.sleep(0.05)  # all of them have to be spoken, too
    return time.monotonic() - began_s - 0.05
