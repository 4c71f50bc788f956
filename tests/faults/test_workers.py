"""Faults 1 to 4, 9, 11, 14, 18: workers that die, freeze, stop, or misread the time."""

from __future__ import annotations

import os
import random
import signal
import time

import pytest

from tests.faults.service import DRAIN_S, Service, state, wait_for
from tests.faults.trial import QUICK, SHORT, Trial, long_text, times

TEXT = long_text(8)
POINTS = ("claimed", "before-write", "after-write", "before-commit", "after-commit")


@pytest.mark.parametrize("is_swept", [True, False], ids=["", "unacked_mutex planted"])
def test_a_worker_is_killed_in_the_middle_of_a_batch(trial: Trial, is_swept: bool) -> None:
    service = trial.service
    name = "1 SIGKILL a worker mid-batch" if is_swept else "14 the same, unacked_mutex planted"
    with trial.row(name) as row:
        whole = trial.undisturbed(TEXT)[TEXT]
        for _ in range(times(50 if is_swept else 20, 1)):
            if not is_swept:
                service.redis.set("unacked_mutex", "somebody who is gone", ex=300)
            job = trial.submit(TEXT)
            pid, held = trial.busy_worker()
            os.kill(pid, signal.SIGKILL)
            row.recovered(wait_for(lambda held=held: service.begun_again(held), 60))
            trial.wait([job])
            assert trial.sound(job) == whole
        assert row.figures()["recovery_p99_s"] <= 15


@pytest.mark.parametrize("point", random.sample(POINTS, 2) if QUICK else POINTS)
def test_a_worker_is_killed_at_a_point(trial: Trial, point: str) -> None:
    with trial.row(f"2 SIGKILL: {point}") as row:
        whole = trial.undisturbed(SHORT)[SHORT]
        for _ in range(times(20, 1)):
            trial.service.arm(point, signal.SIGKILL)
            began_s = time.monotonic()
            job = trial.submit(SHORT)
            trial.wait([job])
            row.recovered(time.monotonic() - began_s)
            assert not trial.service.is_armed(point)
            assert trial.sound(job) == whole


def frozen_workers(service: Service) -> list[int]:
    return [child.pid for child in service.workers if state(child.pid) == "T"]


def refusals(service: Service) -> int:
    """How often a worker was told that its claim is stale: by its commit, or by its heart."""
    said = service.workers_said()
    return said.count("another took over") + said.count("the worker lets go of it")


def test_a_worker_that_freezes_changes_nothing_when_it_wakes(trial: Trial) -> None:
    service, frozen_s = trial.service, times(20, 13)
    with trial.row(f"4 SIGSTOP {frozen_s} s before the commit, then CONT") as row:
        for _ in range(times(20, 1)):
            before = refusals(service)
            service.arm("before-commit", signal.SIGSTOP)
            began_s = time.monotonic()
            job = trial.submit(SHORT)
            wait_for(lambda: frozen_workers(service), 60)
            (frozen,) = frozen_workers(service)
            (ended,) = trial.wait([job])
            row.recovered(time.monotonic() - began_s)
            time.sleep(max(0.0, began_s + frozen_s - time.monotonic()))
            os.kill(frozen, signal.SIGCONT)
            wait_for(lambda before=before: refusals(service) > before, 20)
            assert trial.job(job) == ended


def test_a_message_vanishes_with_its_worker(trial: Trial) -> None:
    """The frozen worker's connection is given the message, and nobody else ever sees it."""
    service = trial.service
    with trial.row("3 SIGSTOP, publish, SIGKILL") as row:
        for _ in range(times(20, 1)):
            service.wait_for_workers()
            workers = service.workers
            for child in workers:
                os.kill(child.pid, signal.SIGSTOP)
            began_s = time.monotonic()
            job = trial.submit(SHORT)
            time.sleep(0.5)
            for child in workers:
                service.kill(child)
            service.wait_for_workers()
            ready_s = time.monotonic() - began_s
            trial.wait([job])
            row.recovered(time.monotonic() - began_s)
            # 20 s, or until there are workers again, and the service time
            assert row.recoveries_s[-1] <= max(20, ready_s) + 5


def test_a_worker_stops_within_its_deadline_and_hands_back(trial: Trial) -> None:
    service = trial.service
    with trial.row("9 SIGTERM under load, 1 s to drain") as row:
        for _ in range(times(10, 1)):
            service.wait_for_workers()
            jobs = [trial.submit(TEXT) for _ in range(2)]
            pid, held = trial.busy_worker(at_least=4)
            child = next(child for child in service.workers if child.pid == pid)
            os.kill(pid, signal.SIGTERM)
            took_s = wait_for(lambda child=child: child.exit_code is not None, 30)
            assert took_s <= DRAIN_S + 2, took_s
            assert child.exit_code == 0
            assert service.held_by(pid) == {}
            row.recovered(wait_for(lambda held=held: service.begun_again(held), 30))
            assert row.recoveries_s[-1] <= 5
            trial.wait(jobs)


def test_a_job_that_kills_its_worker_fails_alone(trial: Trial) -> None:
    with trial.row("11 a job that kills its worker") as row:
        for _ in range(times(5, 1)):
            trial.service.wait_for_workers()
            began_s = time.monotonic()
            poison = trial.submit("This is poison.", ends="failed")
            others = [trial.submit(SHORT) for _ in range(6)]
            (failed,) = trial.wait([poison])
            row.recovered(time.monotonic() - began_s)
            assert failed.error_code == "worker_lost"
            trial.wait(others)


@pytest.mark.service(CLOCK_S="60")
def test_wrong_clocks_take_nothing_from_anybody(trial: Trial) -> None:
    # By either clock, every lease is overdue or far too long; the whole suite outlasts one, too.
    segments = times(40, 12)
    with trial.row("18 workers' clocks 60 s ahead and behind") as row:
        for _ in range(times(20, 1)):
            began_s = time.monotonic()
            jobs = [trial.submit(long_text(segments)) for _ in range(2)]
            trial.wait(jobs)
            row.recovered(time.monotonic() - began_s)
            assert [trial.attempts(job) for job in jobs] == [segments, segments]
