import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import NoReturn

import pytest
from redis import Redis

from client.local.redis_server import RedisServer
from shared.background import SETTLED_AFTER_S
from shared.broker import WakeUpPublisher, make_celery_app
from shared.jobs import SpeechSpec, Status
from shared.models import ModelCard
from shared.store.ledger import Ledger
from shared.store.workers import WorkerRegistry
from tests.support.claims import claim, end_leases
from tests.support.clocks import set_forward
from tests.support.heartbeats import QUIET, make_heartbeat
from tests.support.plain_segments import plain
from tests.support.processes import wait_until
from worker import heartbeat as heartbeat_module
from worker.heartbeat import STALL_LIMIT_S, Heartbeat, Watchdog
from worker.identity import place_name, worker_name

LEASE_S = 1.0
StartHeartbeat = Callable[[Watchdog], Heartbeat]


@pytest.fixture
def ledger(redis: Redis) -> Ledger:
    """Leases of many beats, so that a busy machine loses none of them."""
    return Ledger(redis, lease_s=LEASE_S, max_attempts=3)


@pytest.fixture
def start_heartbeat(
    redis: Redis,
    redis_server: RedisServer,
    ledger: Ledger,
    card: ModelCard,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[StartHeartbeat]:
    """Starts a heartbeat with a given watchdog."""
    monkeypatch.setattr(heartbeat_module, "HEARTBEAT_INTERVAL_S", 0.05)
    with ExitStack() as at_end:

        def start(watchdog: Watchdog) -> Heartbeat:
            wake_ups = WakeUpPublisher(make_celery_app(redis_server.url))
            at_end.callback(wake_ups.close)
            heartbeat = make_heartbeat(redis, ledger, card, wake_ups, watchdog=watchdog)
            heartbeat.start()
            at_end.callback(heartbeat.stop)
            return heartbeat

        yield start


@pytest.fixture
def heartbeat(start_heartbeat: StartHeartbeat) -> Heartbeat:
    return start_heartbeat(QUIET)


def lease_end_s(redis: Redis) -> float:
    """The end of the lease of `j:0`."""
    end_s = redis.zscore("tts:leases", "j:0")
    assert end_s is not None
    return float(end_s)


def wait_for_renewals(redis: Redis) -> None:
    """Return once the lease of `j:0` has been renewed after its first end."""
    end_s = lease_end_s(redis)
    wait_until(lambda: lease_end_s(redis) > end_s + LEASE_S)


def test_a_claim_lives_as_long_as_it_is_held(
    heartbeat: Heartbeat, ledger: Ledger, spec: SpeechSpec, redis: Redis
) -> None:
    ledger.admit("j", spec, plain(["one"]))
    held = claim(ledger, "j:0")
    with heartbeat.hold_lease(held) as lost:
        wait_for_renewals(redis)
        assert ledger.claim(spec.model) is None
        assert not lost.is_set()
    wait_until(lambda: ledger.claim(spec.model))


def test_a_stuck_engine_does_not_keep_its_claims(
    start_heartbeat: StartHeartbeat, ledger: Ledger, spec: SpeechSpec
) -> None:
    stalled_s = 6.0
    heartbeat = start_heartbeat(Watchdog(stalled_s=lambda: stalled_s, messages=lambda: 0))
    ledger.admit("j", spec, plain(["one"]))
    with heartbeat.hold_lease(claim(ledger, "j:0")) as lost:
        wait_until(lambda: ledger.claim(spec.model))
        stalled_s = 0.0
        assert lost.wait(10)  # it is told as soon as it moves again


def test_who_holds_a_lost_claim_is_told(
    heartbeat: Heartbeat, ledger: Ledger, spec: SpeechSpec, redis: Redis
) -> None:
    ledger.admit("j", spec, plain(["one"]))
    old = claim(ledger, "j:0")
    end_leases(redis)
    wait_until(lambda: redis.hlen("tts:queues"))  # the heart has taken it back
    new = claim(ledger, "j:0")
    with heartbeat.hold_lease(old) as old_lost, heartbeat.hold_lease(new) as new_lost:
        assert old_lost.wait(10)
        assert not new_lost.is_set()


@pytest.mark.usefixtures("heartbeat")
def test_a_segment_without_a_worker_is_announced_again(
    ledger: Ledger, spec: SpeechSpec, redis: Redis
) -> None:
    ledger.admit("j", spec, plain(["one"]))
    claim(ledger, "j:0")
    wait_until(lambda: redis.llen(f"tts.{spec.model}") == 1)
    assert claim(ledger, "j:0").attempt == 2


def test_the_heart_beats_on_through_a_failure(
    heartbeat: Heartbeat,
    ledger: Ledger,
    spec: SpeechSpec,
    redis: Redis,
    caplog: pytest.LogCaptureFixture,
) -> None:
    redis.set("tts:leases", "not a sorted set")
    wait_until(lambda: "Heartbeat missed" in caplog.text)
    redis.delete("tts:leases")
    ledger.admit("j", spec, plain(["one"]))
    held = claim(ledger, "j:0")
    with heartbeat.hold_lease(held):
        wait_for_renewals(redis)
        assert ledger.claim(spec.model) is None
    assert ledger.job("j").status == Status.IN_PROGRESS


def test_a_redis_that_was_away_between_two_failures_ends_no_worker(
    start_heartbeat: StartHeartbeat,
    ledger: Ledger,
    redis: Redis,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ends: list[int] = []
    failed: list[None] = []

    def fail(*_: object) -> NoReturn:
        failed.append(None)
        raise KeyError("a job of another version")

    monkeypatch.setattr(os, "_exit", ends.append)
    monkeypatch.setattr(logging, "shutdown", lambda: None)
    monkeypatch.setattr(ledger, "renew", fail)
    start_heartbeat(Watchdog(stalled_s=lambda: 0.0, messages=lambda: 0))
    wait_until(lambda: failed)
    redis.config_set("maxmemory", 1)  # the worker cannot even sign in
    try:
        wait_until(lambda: "Heartbeat missed" in caplog.text)
        set_forward(monkeypatch, STALL_LIMIT_S + 1)
        before = len(failed)
    finally:
        redis.config_set("maxmemory", 0)
    wait_until(lambda: len(failed) > before + 1)
    assert ends == []
    set_forward(monkeypatch, STALL_LIMIT_S + 1)
    wait_until(lambda: ends)  # they have failed for long enough


def test_a_worker_signs_in_and_out(
    redis: Redis, redis_server: RedisServer, ledger: Ledger, card: ModelCard
) -> None:
    registry, wake_ups = WorkerRegistry(redis), WakeUpPublisher(make_celery_app(redis_server.url))
    heartbeat = make_heartbeat(redis, ledger, card, wake_ups)
    heartbeat.start()
    wait_until(lambda: registry.workers() == {"w"})
    heartbeat.stop()
    assert registry.workers() == set()
    wake_ups.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "heartbeat"]


def test_a_heartbeat_that_fails_beats_again(
    heartbeat: Heartbeat, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed: list[None] = []
    beats: list[None] = []
    reconcile = ledger.reconcile

    def fail_twice() -> list[tuple[str, int]]:
        if len(failed) < 2:
            failed.append(None)
            raise KeyError("a job of another version")
        beats.append(None)
        return reconcile()

    monkeypatch.setattr(ledger, "reconcile", fail_twice)
    wait_until(lambda: len(failed) == 2)
    wait_until(lambda: beats)
    assert heartbeat.problem
    set_forward(monkeypatch, SETTLED_AFTER_S)
    assert heartbeat.problem is None


def test_a_worker_whose_engine_is_gone_ends_itself(
    redis: Redis,
    redis_server: RedisServer,
    ledger: Ledger,
    card: ModelCard,
    spec: SpeechSpec,
) -> None:
    """The lease of a segment of another engine is renewed until the worker has stopped."""
    asked: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    wake_ups = WakeUpPublisher(make_celery_app(redis_server.url))
    heartbeat = make_heartbeat(redis, ledger, card, wake_ups, is_alive=lambda: False)
    ledger.admit("j", spec, plain(["one"]))
    with heartbeat.hold_lease(claim(ledger, "j:0")) as lost:
        heartbeat.start()
        try:
            wait_until(lambda: asked)
            wait_for_renewals(redis)
        finally:
            signal.signal(signal.SIGTERM, before)
        assert not lost.is_set()
    heartbeat.stop()
    assert asked == [signal.SIGTERM]
    assert WorkerRegistry(redis).workers() == set()
    wake_ups.close()


HEALTH = [sys.executable, "-m", "worker.health"]
# A process number namespace of its own, as each container has.
ELSEWHERE = ["unshare", "--pid", "--fork", "--mount-proc"]
NAME = """
import sys
from worker.identity import worker_name
print(worker_name(), flush=True)
sys.stdin.read()
"""


def can_unshare() -> bool:
    try:
        return subprocess.run([*ELSEWHERE, "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def health(redis_url: str, *within: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"TTS_REDIS_URL": redis_url}
    return subprocess.run([*within, *HEALTH], env=env, capture_output=True, text=True)


def test_the_health_check_looks_for_a_worker_of_its_own_host(
    redis: Redis, redis_server: RedisServer, card: ModelCard
) -> None:
    for strange in ("elsewhere:1", f"{socket.gethostname()}:1", f"x{worker_name()}"):
        WorkerRegistry(redis).sign_in(strange, card)
    sick = health(redis_server.url)
    assert (sick.returncode, sick.stderr) == (
        1,
        "unhealthy: no worker of this host is signed in\n",
    )
    WorkerRegistry(redis).sign_in(worker_name(), card)
    assert health(redis_server.url).returncode == 0


@pytest.mark.skipif(not can_unshare(), reason="no namespaces may be made here")
def test_containers_with_one_host_name_do_not_share_workers(
    redis: Redis, redis_server: RedisServer, card: ModelCard
) -> None:
    with ExitStack() as containers:
        for _ in range(2):
            ask = [*ELSEWHERE, sys.executable, "-c", NAME]
            container = subprocess.Popen(
                ask, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            containers.enter_context(container)
            containers.callback(container.communicate)  # its end is what it waits for
            assert container.stdout
            name = container.stdout.readline().strip()
            assert name.split(":")[-2] == "1"  # each has the process number of the other
            assert health(redis_server.url).returncode == 1
            assert health(redis_server.url, *ELSEWHERE).returncode == 1
            WorkerRegistry(redis).sign_in(name, card)
        assert health(redis_server.url).returncode == 1
        assert health(redis_server.url, *ELSEWHERE).returncode == 1
        assert len(WorkerRegistry(redis).workers()) == 2


def test_a_process_that_is_started_anew_has_another_name() -> None:
    names = [worker_name() for _ in range(100)]
    assert len(set(names)) == 100
    assert all(name.startswith(f"{place_name()}:{os.getpid()}:") for name in names)
