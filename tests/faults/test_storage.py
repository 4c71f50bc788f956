"""Fault 17: the storage is gone, or full. No part of a file is ever to be seen."""

from __future__ import annotations

import resource
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from trial import SHORT, Trial, long_text, meanwhile, times

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
