"""Faults 1 to 4, 9, 11: workers that die, freeze, stop, or are killed by what they speak."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest
from report import Report
from service import DRAIN_S, Service, state, wait_for, wait_for_all

from client import Narrator
from client.job import Job

Submit = Callable[[str], str]
Times = Callable[[int, int], int]
Count = Callable[[list[Job]], tuple[int, int]]
# Eight segments that a tiny model speaks for some seconds.
TEXT = "\n\n".join(f"Number {n}: " + "and so it went on " * 6 for n in range(8))
SHORT = "A sentence, and not a long one."


def busy_worker(service: Service, at_least: int = 2) -> tuple[int, dict[str, int]]:
    """A worker in the middle of a batch, and what it holds."""
    found: dict[int, dict[str, int]] = {}

    def look() -> bool:
        for child in service.workers:
            held = service.held_by(child.pid)
            if len(held) >= at_least:
                found[child.pid] = held
                return True
        return False

    wait_for(look, 60)
    time.sleep(0.3)  # some frames into it
    ((pid, _),) = found.items()
    return pid, service.held_by(pid)


@pytest.mark.parametrize("is_swept", [True, False], ids=["", "unacked_mutex planted"])
def test_a_worker_is_killed_in_the_middle_of_a_batch(
    service: Service,
    narrator: Narrator,
    submit: Submit,
    times: Times,
    report: Report,
    count: Count,
    sound: Callable[[str], str],
    is_swept: bool,
) -> None:
    name = "1 SIGKILL a worker mid-batch" if is_swept else "14 the same, unacked_mutex planted"
    with report.row(name) as row:
        first = submit(TEXT)
        wait_for_all(narrator, [first], 120)
        whole, jobs = sound(first), [first]
        for _ in range(times(50, 3) if is_swept else times(20, 1)):
            if not is_swept:
                service.redis.set("unacked_mutex", "somebody who is gone", ex=300)
            jobs.append(submit(TEXT))
            pid, held = busy_worker(service)
            os.kill(pid, signal.SIGKILL)
            row.recovered(wait_for(lambda held=held: service.begun_again(held), 60))
            wait_for_all(narrator, jobs[-1:], 120)
        ended = wait_for_all(narrator, jobs, 600)
        row.lost, row.doubled = count(ended)
        assert {job.status for job in ended} == {"completed"}
        assert {sound(job_id) for job_id in jobs} == {whole}
        assert row.figures()["recovery_p99_s"] <= 15


@pytest.mark.parametrize(
    "point", ["claimed", "before-write", "after-write", "before-commit", "after-commit"]
)
def test_a_worker_is_killed_at_a_point(
    service: Service,
    narrator: Narrator,
    submit: Submit,
    times: Times,
    report: Report,
    count: Count,
    sound: Callable[[str], str],
    point: str,
) -> None:
    with report.row(f"2 SIGKILL: {point}") as row:
        jobs = [submit(SHORT)]
        wait_for_all(narrator, jobs, 60)
        for _ in range(times(20, 1)):
            service.arm(point, signal.SIGKILL)
            began_s = time.monotonic()
            jobs.append(submit(SHORT))
            ended = wait_for_all(narrator, jobs[-1:], 90)
            assert not service.is_armed(point)
            assert ended[0].status == "completed"
            row.recovered(time.monotonic() - began_s)
        row.lost, row.doubled = count(wait_for_all(narrator, jobs, 10))
        assert len({sound(job_id) for job_id in jobs}) == 1


def test_a_worker_that_freezes_changes_nothing_when_it_wakes(
    service: Service,
    narrator: Narrator,
    submit: Submit,
    times: Times,
    report: Report,
    count: Count,
) -> None:
    with report.row("4 SIGSTOP 20 s before the commit, then CONT") as row:
        jobs = []
        for _ in range(times(20, 1)):
            service.arm("before-commit", signal.SIGSTOP)
            began_s = time.monotonic()
            jobs.append(submit(SHORT))
            wait_for(lambda: not service.is_armed("before-commit"), 60)
            (frozen,) = [child.pid for child in service.workers if state(child.pid) == "T"]
            ended = wait_for_all(narrator, jobs[-1:], 60)
            row.recovered(time.monotonic() - began_s)
            before = ended[0]
            time.sleep(max(0.0, began_s + 20 - time.monotonic()))
            os.kill(frozen, signal.SIGCONT)
            wait_for(lambda: "another took over" in logs(service), 20)
            assert narrator.job(jobs[-1]) == before
        row.lost, row.doubled = count(wait_for_all(narrator, jobs, 10))
        assert logs(service).count("another took over") >= len(jobs)


def test_a_message_vanishes_with_its_worker(
    service: Service,
    narrator: Narrator,
    submit: Submit,
    times: Times,
    report: Report,
    count: Count,
) -> None:
    """The frozen worker's connection is given the message, and nobody else ever sees it."""
    with report.row("3 SIGSTOP, publish, SIGKILL") as row:
        jobs = []
        for _ in range(times(20, 2)):
            service.wait_for_workers()
            pids = [child.pid for child in service.workers]
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            began_s = time.monotonic()
            jobs.append(submit(SHORT))
            time.sleep(0.5)
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            ended = wait_for_all(narrator, jobs[-1:], 90)
            assert ended[0].status == "completed"
            row.recovered(time.monotonic() - began_s)
        row.lost, row.doubled = count(wait_for_all(narrator, jobs, 10))


def test_a_worker_stops_within_its_deadline_and_hands_back(
    service: Service,
    narrator: Narrator,
    submit: Submit,
    times: Times,
    report: Report,
    count: Count,
) -> None:
    with report.row("9 SIGTERM under load, 1 s to drain") as row:
        jobs = []
        for _ in range(times(10, 2)):
            service.wait_for_workers()
            jobs += [submit(TEXT) for _ in range(2)]
            pid, held = busy_worker(service, at_least=4)
            child = next(child for child in service.workers if child.pid == pid)
            os.kill(pid, signal.SIGTERM)
            took_s = wait_for(lambda child=child: child.exit_code is not None, 30)
            assert took_s <= DRAIN_S + 2, took_s
            assert child.exit_code == 0
            assert service.held_by(pid) == {}
            row.recovered(wait_for(lambda held=held: service.begun_again(held), 30))
            assert row.recoveries_s[-1] <= 5
        ended = wait_for_all(narrator, jobs, 300)
        row.lost, row.doubled = count(ended)
        assert {job.status for job in ended} == {"completed"}


def test_a_job_that_kills_its_worker_fails_alone(
    service: Service,
    narrator: Narrator,
    submit: Submit,
    times: Times,
    report: Report,
    count: Count,
) -> None:
    with report.row("11 a job that kills its worker") as row:
        for _ in range(times(5, 1)):
            service.wait_for_workers()
            began_s = time.monotonic()
            poison = submit("This is poison.")
            others = [submit(SHORT) for _ in range(6)]
            (failed,) = wait_for_all(narrator, [poison], 180)
            row.recovered(time.monotonic() - began_s)
            assert (failed.status, failed.error_code) == ("failed", "worker_lost")
            ended = wait_for_all(narrator, others, 180)
            lost, doubled = count(ended)
            row.lost, row.doubled = row.lost + lost, row.doubled + doubled
            assert {job.status for job in ended} == {"completed"}


def logs(service: Service) -> str:
    return "".join(path.read_text() for path in sorted(service.logs.glob("worker-*.log")))
