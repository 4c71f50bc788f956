"""How a worker's process watches itself, stops, and tidies up."""

import subprocess
import sys
import threading
import time
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection, Queue
from plain import plain
from processes import wait_until
from redis import Redis

from client.local.ports import free_port
from client.local.redis_server import RedisServer
from shared import background
from shared.errors import Unavailable
from shared.jobs import SegmentResult, SpeechSpec
from shared.storage import Storage
from shared.storage_paths import job_folder, segments_folder
from shared.store.ledger import Ledger
from shared.store.redis_address import RedisAddress
from shared.store.voices import Voices
from worker import celery_transport, cleaner, retry
from worker.cleaner import REMOVAL_GRACE_S, Cleaner
from worker.heartbeat import STALLED_EXIT_CODE
from worker.retry import retry_while_held

BARK = """
import time
from worker import heartbeat
heartbeat.STALL_LIMIT_S = 0.2
dog = heartbeat.Watchdog(stalled_s=lambda: {stalled}, messages=lambda: {messages})
until = time.monotonic() + 1
while time.monotonic() < until:
    dog.check(is_idle={idle})
    time.sleep(0.02)
"""


@pytest.mark.parametrize(
    ("stalled", "messages", "idle", "barks"),
    [
        (0.1, 0, True, False),
        (0.3, 0, False, True),
        (0.0, 3, True, True),
        (0.0, 3, False, False),
        (0.0, "int(time.monotonic() * 10) % 2", True, False),
    ],
)
def test_a_worker_that_has_stalled_exits(
    stalled: float, messages: object, idle: bool, barks: bool
) -> None:
    script = BARK.format(stalled=stalled, messages=messages, idle=idle)
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert ran.returncode == (STALLED_EXIT_CODE if barks else 0), ran.stderr


BEATS = """
import time
from worker import heartbeat
heartbeat.STALL_LIMIT_S = 0.2
dog = heartbeat.Watchdog(stalled_s=lambda: 0, messages=lambda: 0)
until = time.monotonic() + 1
while time.monotonic() < until:
    if {beats}:
        dog.note_beat()
    dog.note_failure()
    time.sleep(0.02)
"""


@pytest.mark.parametrize("beats", [True, False])
def test_a_worker_that_keeps_none_of_its_leases_exits(beats: bool) -> None:
    ran = subprocess.run([sys.executable, "-c", BEATS.format(beats=beats)], capture_output=True)
    assert ran.returncode == (0 if beats else STALLED_EXIT_CODE), ran.stderr


DRAIN = """
import time
from worker import shutdown
shutdown.EXIT_GRACE_S = 1.5
told = shutdown.GracefulShutdown(0.3, lambda: print("handed back", flush=True))
told.begin()
told.begin()
time.sleep({busy_s})
told.end()
time.sleep(2)
print("ended by itself", flush=True)
"""


@pytest.mark.parametrize(
    ("busy_s", "says"),
    [
        (0.0, "ended by itself\n"),
        (0.9, "handed back\nended by itself\n"),
        (9.0, "handed back\n"),
    ],
)
def test_a_worker_that_stops_waits_no_longer_than_it_may(busy_s: float, says: str) -> None:
    began_s = time.monotonic()
    ran = subprocess.run(
        [sys.executable, "-c", DRAIN.format(busy_s=busy_s)], capture_output=True, text=True
    )
    assert (ran.returncode, ran.stdout) == (0, says)
    assert time.monotonic() - began_s < 6


def test_patience_ends_with_the_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_BACKOFF_S", 0.01)
    revoked, calls = threading.Event(), []

    def away() -> None:
        calls.append(time.monotonic())
        if len(calls) == 4:
            revoked.set()
        raise Unavailable("not now")

    with pytest.raises(CancelledError):
        retry_while_held(revoked, away)
    assert len(calls) == 4
    assert calls[3] - calls[2] > calls[1] - calls[0]
    assert retry_while_held(threading.Event(), lambda: 5) == 5


def finish(ledger: Ledger, storage: Storage, spec: SpeechSpec, job_id: str) -> None:
    """Have a job of one segment spoken and joined, with files where a worker puts them."""
    ledger.admit(job_id, spec, plain(["one"]))
    claim = ledger.claim(spec.model)
    while claim is not None:
        folder = job_folder(job_id) if claim.is_join else segments_folder(job_id)
        key = f"{folder}/{claim.epoch}.wav"
        storage.put(key, b"sound")
        claim = ledger.commit(claim, SegmentResult(key=key, samples=1))


def old_and_young(ledger: Ledger, spec: SpeechSpec, folder: Path) -> Storage:
    """A storage with the files of two jobs that have ended."""
    storage = Storage.open(folder.as_uri())
    for name in ("old", "young"):
        finish(ledger, storage, spec, name)
    return storage


def test_what_has_expired_goes_with_its_files(
    ledger: Ledger, spec: SpeechSpec, redis: Redis, tmp_path: Path
) -> None:
    storage = old_and_young(ledger, spec, tmp_path / "results")
    redis.zadd("tts:ended", {"old": time.time() - 100})
    expiry = Cleaner(ledger=ledger, voices=Voices(redis), storage=storage, ttl_s=50)
    assert expiry.sweep() == 1
    redis.zadd("tts:forgotten", {"old": time.time() - REMOVAL_GRACE_S - 1})
    assert expiry.sweep() == 0
    left = [path.parts for path in (tmp_path / "results").rglob("*.wav")]
    assert left
    assert all("young" in parts for parts in left)
    assert redis.keys("tts:*old*") == []


def test_segments_stay_until_no_redis_could_have_them_joined_again(
    ledger: Ledger, spec: SpeechSpec, redis: Redis, tmp_path: Path
) -> None:
    storage = old_and_young(ledger, spec, tmp_path / "results")
    redis.zadd("tts:leftovers", {"old": time.time() - REMOVAL_GRACE_S - 1})
    expiry = Cleaner(ledger=ledger, voices=Voices(redis), storage=storage, ttl_s=1_000)
    assert expiry.sweep() == 1
    assert expiry.sweep() == 0
    results = tmp_path / "results"
    assert (results / segments_folder("young")).exists()
    assert not (results / segments_folder("old")).exists()
    assert len(list((results / job_folder("old")).rglob("*.wav"))) == 1


def test_a_sweep_that_fails_is_followed_by_another(
    ledger: Ledger, redis: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleaner, "SWEEP_INTERVAL_S", 0.05)
    monkeypatch.setattr(background, "FIRST_BACKOFF_S", 0.01)
    storage = Storage.open(tmp_path.as_uri())
    expiry = Cleaner(ledger=ledger, voices=Voices(redis), storage=storage, ttl_s=50)
    sweeps: list[None] = []

    def sweep() -> int:
        sweeps.append(None)
        if len(sweeps) < 3:
            raise KeyError("a job of another version")
        return 0

    monkeypatch.setattr(expiry, "sweep", sweep)
    expiry.start()
    wait_until(lambda: len(sweeps) > 4)
    wait_until(lambda: expiry.thread.problem is None)
    expiry.stop()


def connected(url: str) -> Connection:
    return Connection(
        url,
        transport="worker.celery_transport:Transport",
        transport_options={"address": RedisAddress.parse(url)},
    )


def test_an_acknowledgement_that_fails_frees_the_slot(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "redis", log=tmp_path / "redis.log")
    server.start()
    with connected(server.url) as connection:
        channel = connection.channel()
        queue = connection.SimpleQueue("q", channel=channel)
        for text in ("one", "two"):
            queue.put(text)
        taken = [queue.get(timeout=5) for _ in range(2)]
        server.stop()
        taken[0].ack()
        taken[1].reject(requeue=True)
        assert not channel.qos._delivered.keys() - channel.qos._dirty
        channel.connection.cycle.close()


class Enough(Exception):
    pass


def test_the_broker_is_tried_once_a_second() -> None:
    pauses: list[float] = []

    def note(_error: Exception, pause_s: float) -> None:
        pauses.append(pause_s)
        if len(pauses) == 3:
            raise Enough

    away = f"redis://127.0.0.1:{free_port()}/0"
    with celery_transport.Connection(away) as connection, pytest.raises(Enough):
        connection.ensure_connection(note, 100)
    assert pauses == [1, 1, 1]


@pytest.mark.parametrize("message", ["no JSON", "{}", "[]", "null", '{"properties": 1}'])
def test_what_is_no_message_is_passed_over(
    redis: Redis, redis_server: RedisServer, message: str
) -> None:
    taken: list[Any] = []
    with (
        connected(redis_server.url) as connection,
        connection.Consumer(
            [Queue("q", routing_key="q")], callbacks=[lambda body, _message: taken.append(body)]
        ),
    ):
        redis.lpush("q", message)
        connection.SimpleQueue("q").put("ours")
        while not taken:
            connection.drain_events(timeout=10)
        connection.transport.cycle.close()
    assert taken == ["ours"]
