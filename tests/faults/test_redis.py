"""Faults 5 to 8, 10, 13, 20: Redis goes away, loses things, freezes, or answers with errors."""

from __future__ import annotations

import os
import random
import signal
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from redis import Redis

from client.errors import NarrateError
from client.local.ports import free_port
from tests.faults.service import Service, wait_for
from tests.faults.trial import QUICK, SHORT, Trial, long_text, meanwhile, times
from tests.support.processes import frozen

TEXT = long_text(16)
PAUSE_S = 0.1 if QUICK else 0.0  # between jobs: what is accepted has to be spoken, too


@pytest.mark.parametrize("away_s", [5] if QUICK else [1, 5, 30])
def test_redis_restarts_while_all_slots_are_busy(trial: Trial, away_s: int) -> None:
    service, started = trial.service, trial.service.workers_started()
    with trial.row(f"5 Redis restarts, away for {away_s} s") as row:
        for _ in range(times(4, 1)):
            job = trial.submit(TEXT)
            trial.wait_for_leases(8)
            service.kill(service.redis_child, signal.SIGTERM)
            time.sleep(away_s)
            service.start_redis()
            # A job of then is claimed by a message of then: what was held has no need of any.
            began_s = time.monotonic()
            new = trial.submit_patiently(SHORT)
            wait_for(lambda new=new: trial.attempts(new), 30)
            row.recovered(time.monotonic() - began_s)
            assert row.recoveries_s[-1] <= 10
            trial.wait([job, new])
            assert trial.attempts(job) == 16  # nobody's lease ran out while nobody could renew
        assert service.workers_started() == started


def accept(trial: Trial, accepted: list[tuple[float, str]]) -> None:
    """Submit once more, and note when that was answered."""
    try:
        job = trial.submit(SHORT)
    except NarrateError as error:
        if not error.transient:
            raise
        return
    accepted.append((time.monotonic(), job))


def append_only_file(service: Service) -> Path:
    (path,) = (service.folder / "redis" / "appendonlydir").glob("*.incr.aof")
    return path


def after_join_began(path: Path, synced: int) -> int:
    """Where the file would end if the power failed while a job of that last second was joined."""
    written = path.read_bytes()
    return written.index(b"EXEC\r\n", written.index(b":join", synced)) + len(b"EXEC\r\n")


@pytest.mark.service(appendfsync="always")
def test_redis_is_killed_while_jobs_are_accepted(trial: Trial) -> None:
    service = trial.service
    with trial.row("6 SIGKILL Redis, appendfsync always") as row:
        for _ in range(times(20, 1)):
            accepted: list[tuple[float, str]] = []
            with meanwhile(lambda into=accepted: accept(trial, into), every_s=PAUSE_S):
                time.sleep(1.5)
                service.kill(service.redis_child)
            service.start_redis()
            row.recovered(wait_for(lambda: is_ready(service), 10))
            assert len(accepted) > 5
            trial.wait(job for _, job in accepted)


def test_the_power_fails_while_jobs_are_accepted(trial: Trial) -> None:
    """With everysec, the last second may never have reached the disk, and ends in mid-record."""
    service = trial.service
    with trial.row("6 power cut: all Redis wrote in the last second is gone") as row:
        for number in range(times(20, 1)):
            accepted: list[tuple[float, str]] = []
            with meanwhile(lambda into=accepted: accept(trial, into), every_s=PAUSE_S):
                time.sleep(1.5)
                path = append_only_file(service)
                synced_s, synced = time.monotonic(), path.stat().st_size
                time.sleep(1)
                service.kill(service.redis_child)
            anywhere = random.randint(synced, synced + 200)
            os.truncate(path, anywhere if number % 2 else after_join_began(path, synced))
            service.start_redis()
            row.recovered(wait_for(lambda: is_ready(service), 10))
            forgotten = [job for _, job in accepted if not service.redis.exists(f"tts:job:{job}")]
            safe = [job for at_s, job in accepted if at_s < synced_s]
            assert len(safe) > 5
            assert not set(safe) & set(forgotten)
            for job in forgotten:
                del trial.expected[job]
            trial.wait(job for _, job in accepted if job not in forgotten)


def is_ready(service: Service) -> bool:
    return httpx.get(f"{service.url}/readyz").status_code == 200


def test_connections_are_cut(trial: Trial) -> None:
    with trial.row("7 CLIENT KILL of every connection") as row:
        for _ in range(times(20, 2)):
            job = trial.submit(TEXT)
            trial.wait_for_leases(4)
            began_s = time.monotonic()
            trial.service.redis.client_kill_filter(_type="normal", skipme=True)
            trial.wait([job])
            row.recovered(time.monotonic() - began_s)
            assert trial.attempts(job) == 16  # nothing was begun twice


def test_while_redis_is_frozen_the_api_says_so_at_once(trial: Trial) -> None:
    service, frozen_s = trial.service, times(20, 8)
    with trial.row(f"8 Redis frozen for {frozen_s} s") as row:
        trial.submit(SHORT)
        until_s = time.monotonic() + frozen_s
        answers, alive = list[float](), list[float]()

        def send() -> None:
            body = {"task": "custom_voice", "voice": "vivian", "input": SHORT}
            with httpx.Client(base_url=service.url, timeout=10) as http:
                while time.monotonic() < until_s:
                    began_s = time.monotonic()
                    answer = http.post("/v1/jobs", json=body)
                    answers.append(time.monotonic() - began_s)
                    assert answer.status_code == 503, answer.text
                    assert 1 <= int(answer.headers["Retry-After"]) <= 120

        # As many as wait for Redis at once, and one that asks for nothing of it meanwhile.
        with (
            frozen(service.redis_child),
            ThreadPoolExecutor(20) as pool,
            httpx.Client(base_url=service.url) as http,
        ):
            senders = [pool.submit(send) for _ in range(20)]
            while time.monotonic() < until_s:
                began_s = time.monotonic()
                assert http.get("/healthz").status_code == 200
                alive.append(time.monotonic() - began_s)
                time.sleep(0.05)
            for sender in senders:
                sender.result()
        assert max(answers) <= 3, answers
        # The machine may be busy for a moment; a loop that waits for Redis would be so for 2 s.
        assert statistics.quantiles(alive, n=20)[-1] <= 0.1, alive
        assert max(alive) < 1, alive
        row.recovered(wait_for(lambda: is_ready(service), 10))
        trial.submit(SHORT)


SPIN = """
local began = redis.call('TIME')[1]
while redis.call('TIME')[1] - began < 7 do end
"""


def turn_into_replica(redis: Redis) -> None:
    """READONLY for 6 seconds, as while a failover is undone."""
    redis.replicaof("127.0.0.1", free_port())
    time.sleep(6)
    redis.replicaof("NO", "ONE")


def keep_busy(redis: Redis) -> None:
    """BUSY for 6 to 7 seconds."""
    redis.config_set("lua-time-limit", "50")
    redis.eval(SPIN, 0)


@pytest.mark.parametrize("fault", [turn_into_replica, keep_busy])
def test_redis_answers_with_errors(trial: Trial, fault: Callable[[Redis], None]) -> None:
    service, name = trial.service, "READONLY" if fault is turn_into_replica else "BUSY"
    before = {child.pid for child in service.workers}
    with trial.row(f"20 Redis answers {name} for 6 s") as row:
        for _ in range(times(10, 1)):
            job = trial.submit(long_text(4))  # half of the slots
            trial.wait_for_leases(4)
            refused = list[httpx.Response]()
            with (
                Redis.from_url(service.env["TTS_REDIS_URL"], socket_timeout=30) as admin,
                meanwhile(lambda into=refused: into.append(post(service)), every_s=0.5),
            ):
                fault(admin)
            assert {503} <= {answer.status_code for answer in refused} <= {202, 503}
            for answer in refused:
                if answer.is_success:
                    trial.expected[answer.json()["id"]] = "completed"
            began_s = time.monotonic()
            new = trial.submit_patiently(SHORT)
            wait_for(lambda new=new: trial.attempts(new), 30)
            row.recovered(time.monotonic() - began_s)
            assert row.recoveries_s[-1] <= 10
            trial.wait([job, new])
    assert {child.pid for child in service.workers} == before


def post(service: Service) -> httpx.Response:
    body = {"task": "custom_voice", "voice": "vivian", "input": SHORT}
    return httpx.post(f"{service.url}/v1/jobs", json=body, timeout=10)


def test_all_messages_are_deleted(trial: Trial) -> None:
    redis, queue = trial.service.redis, "tts.tiny-CustomVoice"
    with trial.row("13 every queue list deleted") as row:
        for _ in range(times(20, 1)):
            jobs = [trial.submit(TEXT) for _ in range(3)]
            wait_for(lambda: redis.llen(queue) > 20, 60)
            redis.delete(queue, "unacked", "unacked_index")
            waiting = int(redis.hget("tts:queues", "tiny-CustomVoice"))
            assert waiting > 20
            row.recovered(wait_for(lambda: redis.llen(queue) > 10, 30))
            trial.wait(jobs)


def test_everything_is_killed_and_started_again(trial: Trial) -> None:
    service = trial.service
    with trial.row("10 SIGKILL everything, start again") as row:
        for _ in range(times(10, 1)):
            job = trial.submit(TEXT)
            trial.wait_for_leases(8)
            time.sleep(1.2)  # what Redis was told is on the disk by then
            for child in (*service.workers, service.api, service.redis_child):
                service.kill(child)
            service.start_redis()
            service.start_api()
            service.wait_for_workers()
            before = trial.attempts(job)
            row.recovered(wait_for(lambda b=before, j=job: trial.attempts(j) > b, 60))
            assert row.recoveries_s[-1] <= 15
            trial.wait([job])
