"""Faults 5 to 8, 10, 13: Redis goes away, forgets messages, freezes, or everything dies at once."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import httpx
import pytest
from report import Report
from service import Service, wait_for, wait_for_all

from client import Narrator
from client.job import Job

Submit = Callable[[str], str]
Times = Callable[[int, int], int]
Count = Callable[[list[Job]], tuple[int, int]]
TEXT = "\n\n".join(f"Number {n}: " + "and so it went on " * 6 for n in range(16))
SHORT = "A sentence, and not a long one."


def epochs(service: Service, job_id: str, total: int) -> list[int]:
    return [int(service.redis.hget(f"tts:segment:{job_id}:{n}", "epoch")) for n in range(total)]


@pytest.mark.parametrize("away_s", [5] if os.environ.get("QUICK") == "1" else [1, 5, 30])
def test_redis_restarts_while_all_slots_are_busy(
    service: Service,
    narrator: Narrator,
    submit: Submit,
    times: Times,
    report: Report,
    count: Count,
    away_s: int,
) -> None:
    with report.row(f"5 Redis restarts, away for {away_s} s") as row:
        jobs = []
        for _ in range(times(4, 1)):
            jobs.append(submit(TEXT))
            wait_for(lambda: service.redis.zcard("tts:leases") >= 8, 60)
            os.kill(service.redis_child.pid, signal.SIGTERM)
            wait_for(lambda: service.redis_child.exit_code is not None, 20)
            time.sleep(away_s)
            service.start_redis()
            began_s = time.monotonic()
            before = service.redis.hget(f"tts:job:{jobs[-1]}", "completed")
            wait_for(
                lambda before=before, job=jobs[-1]: (
                    service.redis.hget(f"tts:job:{job}", "completed") != before
                ),
                60,
            )
            jobs.append(submit(SHORT))
            wait_for_all(narrator, jobs[-1:], 60)
            row.recovered(time.monotonic() - began_s)
            wait_for_all(narrator, jobs, 300)
        ended = wait_for_all(narrator, jobs, 10)
        row.lost, row.doubled = count(ended)
        assert {job.status for job in ended} == {"completed"}
        # All processes are those that began: nothing had to be started anew.
        assert len(list(service.logs.glob("worker-*"))) == 2
        assert row.figures()["recovery_max_s"] <= 15


def test_connections_are_cut(
    service: Service,
    narrator: Narrator,
    submit: Submit,
    times: Times,
    report: Report,
    count: Count,
) -> None:
    with report.row("7 CLIENT KILL of every connection") as row:
        jobs = []
        for _ in range(times(20, 2)):
            jobs.append(submit(TEXT))
            wait_for(lambda: service.redis.zcard("tts:leases") >= 4, 60)
            began_s = time.monotonic()
            service.redis.client_kill_filter(_type="normal", skipme=True)
            wait_for_all(narrator, jobs[-1:], 120)
            row.recovered(time.monotonic() - began_s)
        ended = wait_for_all(narrator, jobs, 10)
        row.lost, row.doubled = count(ended)
        again = sum(sum(epochs(service, job.id, job.segments.total)) for job in ended)
        assert again == sum(job.segments.total for job in ended)  # nothing was begun twice


def test_while_redis_is_frozen_the_api_says_so_at_once(
    service: Service, submit: Submit, narrator: Narrator, times: Times, report: Report, count: Count
) -> None:
    frozen_s = times(20, 8)
    with report.row(f"8 Redis frozen for {frozen_s} s") as row:
        jobs = [submit(SHORT)]
        os.kill(service.redis_child.pid, signal.SIGSTOP)
        until_s = time.monotonic() + frozen_s
        answers, alive = [], []
        with httpx.Client(base_url=service.url, timeout=10) as http:
            while time.monotonic() < until_s:
                began_s = time.monotonic()
                body = {"task": "custom_voice", "voice": "vivian", "input": SHORT}
                answer = http.post("/v1/jobs", json=body)
                answers.append(time.monotonic() - began_s)
                assert answer.status_code == 503, answer.text
                assert 1 <= int(answer.headers["Retry-After"]) <= 120
                began_s = time.monotonic()
                assert http.get("/healthz").status_code == 200
                alive.append(time.monotonic() - began_s)
            assert max(answers) <= 3, answers
            assert max(alive) <= 0.1, alive
            os.kill(service.redis_child.pid, signal.SIGCONT)
            row.recovered(wait_for(lambda: http.get("/readyz").status_code == 200, 10))
        jobs.append(submit(SHORT))
        ended = wait_for_all(narrator, jobs, 60)
        row.lost, row.doubled = count(ended)
        assert {job.status for job in ended} == {"completed"}


def test_all_messages_are_deleted(
    service: Service,
    narrator: Narrator,
    submit: Submit,
    times: Times,
    report: Report,
    count: Count,
) -> None:
    with report.row("13 every queue list deleted") as row:
        jobs = []
        for _ in range(times(20, 2)):
            jobs += [submit(TEXT) for _ in range(3)]
            wait_for(lambda: service.redis.llen("tts.tiny-CustomVoice") > 20, 60)
            service.redis.delete("tts.tiny-CustomVoice", "unacked", "unacked_index")
            waiting = int(service.redis.hget("tts:queues", "tiny-CustomVoice"))
            assert waiting > 20
            row.recovered(wait_for(lambda: service.redis.llen("tts.tiny-CustomVoice") > 10, 30))
            wait_for_all(narrator, jobs[-3:], 300)
        row.lost, row.doubled = count(wait_for_all(narrator, jobs, 10))


def test_everything_is_killed_and_started_again(
    service: Service,
    narrator: Narrator,
    submit: Submit,
    times: Times,
    report: Report,
    count: Count,
) -> None:
    with report.row("10 SIGKILL everything, start again") as row:
        jobs = []
        for _ in range(times(10, 1)):
            jobs.append(submit(TEXT))
            wait_for(lambda: service.redis.zcard("tts:leases") >= 8, 60)
            time.sleep(1.2)  # what Redis was told is on the disk by then
            for child in (*service.workers, service.api, service.redis_child):
                os.kill(child.pid, signal.SIGKILL)
            wait_for(lambda: service.redis_child.exit_code is not None, 10)
            wait_for(lambda: service.api.exit_code is not None, 10)
            service.start_redis()
            service.start_api()
            service.wait_for_workers()
            began_s = time.monotonic()
            before = epochs(service, jobs[-1], 16)
            row.recovered(
                wait_for(lambda b=before, j=jobs[-1]: sum(epochs(service, j, 16)) > sum(b), 60)
            )
            assert time.monotonic() - began_s <= 15
            wait_for_all(narrator, jobs[-1:], 300)
        ended = wait_for_all(narrator, jobs, 10)
        row.lost, row.doubled = count(ended)
        assert {job.status for job in ended} == {"completed"}
