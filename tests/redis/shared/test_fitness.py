"""Redis and storages that are unfit for work: refused at the start, told of by /readyz."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

import pytest
from celery import Celery
from fastapi.testclient import TestClient
from redis import Redis

from api.app import create_app
from client.local.redis_server import RedisServer
from shared.checks import Check, Finding
from shared.errors import Misconfigured
from shared.settings import Settings
from shared.storage import MARKER_KEY, Storage
from shared.storage_identity import adopt, agree, without_password
from shared.store import keys
from shared.store.connection import connect
from tests.support.processes import frozen, wait_until
from tests.support.s3_server import BUCKET, S3Server


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of the test's own, to be frozen and set up badly."""
    with RedisServer(tmp_path / "redis", log=tmp_path / "redis.log") as server:
        yield server


@pytest.fixture
def own(own_server: RedisServer) -> Iterator[Redis]:
    connection = connect(own_server.url)
    yield connection
    connection.close()


@pytest.fixture
def own_settings(settings: Settings, own_server: RedisServer) -> Settings:
    return settings.model_copy(update={"redis_url": own_server.url})


@pytest.fixture
def server(own_settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(own_settings), raise_server_exceptions=False) as client:
        yield client


def wait_for_problem(api: TestClient, check: str, said: str) -> None:
    """Wait until /readyz fails for this reason; it never makes its caller wait.

    Of the answers the fastest counts, since the machine may be loaded: an API that asked Redis or
    the storage each time would take two seconds for every one while they hang.
    """
    took_s = []

    def fails() -> bool:
        began_s = time.monotonic()
        answer = api.get("/readyz")
        took_s.append(time.monotonic() - began_s)
        found = answer.json()["checks"][check]
        if found["ok"]:
            return False
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
        return said in found["problem"] and said in answer.json()["error"]["message"]

    wait_until(fails, 15)
    assert min(took_s) < 1


def wait_until_ready(api: TestClient) -> dict[str, Any]:
    wait_until(lambda: api.get("/readyz").status_code == 200, 15)
    body: dict[str, Any] = api.get("/readyz").json()
    return body


def test_a_policy_that_changes_is_told_of_once(
    server: TestClient, own: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    assert wait_until_ready(server)["checks"]["redis"] == {
        "ok": True,
        "problem": None,
        "warnings": [],
    }
    own.config_set("maxmemory-policy", "allkeys-lru")
    wait_for_problem(server, "redis", "may evict accepted jobs (maxmemory-policy allkeys-lru)")
    wait_for_problem(server, "redis", "may evict")
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    own.config_set("maxmemory-policy", "noeviction")
    own.config_set("appendonly", "no")
    wait_until(lambda: "append-only" in server.get("/readyz").text, 10)
    (warning,) = wait_until_ready(server)["checks"]["redis"]["warnings"]
    assert "append-only" in warning
    assert caplog.text.count("keeps no append-only file") == 1


def test_a_check_that_waits_for_its_next_look_stops_at_once() -> None:
    checks = [Check(f"stops-{n}", Finding, every_s=600) for n in range(50)]
    for check in checks:
        check.start()
        check.wait(10)
    began_s = time.monotonic()
    for check in checks:
        check.stop()
    assert time.monotonic() - began_s < 0.4 * len(checks)  # 0.5 s each if it is not woken
    assert not [thread for thread in threading.enumerate() if "stops-" in thread.name]


def test_a_full_redis_is_not_ready(server: TestClient, own: Redis) -> None:
    own.config_set("maxmemory", "1")
    wait_for_problem(server, "redis", "maxmemory")
    own.config_set("maxmemory", "0")
    wait_until_ready(server)


def test_a_replica_is_not_ready(server: TestClient, own: Redis) -> None:
    own.replicaof("127.0.0.1", "1")
    wait_for_problem(server, "redis", "read only replica")
    own.replicaof("NO", "ONE")
    wait_until_ready(server)


def test_a_redis_that_hangs_is_not_ready_and_holds_up_no_answer(
    server: TestClient, own_server: RedisServer
) -> None:
    assert own_server.child is not None
    with frozen(own_server.child):
        wait_for_problem(server, "redis", "")
        assert server.get("/readyz").json()["checks"]["storage"]["ok"]
    wait_until_ready(server)


def test_a_redis_that_hides_itself_is_warned_of(own_settings: Settings, own: Redis) -> None:
    rules = ["on", ">word", "~tts*", "&*", "+@all", "-info"]
    own.execute_command("ACL", "SETUSER", "tts", *rules)
    url = own_settings.redis_url.replace("redis://", "redis://tts:word@")
    hidden = own_settings.model_copy(update={"redis_url": url})
    with TestClient(create_app(hidden)) as api:
        (warning,) = wait_until_ready(api)["checks"]["redis"]["warnings"]
    assert "allows no INFO" in warning


def test_a_dead_thread_is_not_ready(server: TestClient) -> None:
    wake_ups = server.app.state.services.wake_ups  # type: ignore[attr-defined]
    wait_until_ready(server)

    def explode(_app: Celery) -> NoReturn:
        raise RuntimeError("secret")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Celery, "producer_or_acquire", explode)
        wake_ups.publish("m")
        wait_for_problem(server, "threads", wake_ups.thread.name)
        assert "secret" not in server.get("/readyz").text
    wait_until_ready(server)


def test_a_volume_that_is_unmounted_is_not_ready(server: TestClient, tmp_path: Path) -> None:
    wait_until_ready(server)
    results = tmp_path / "results"
    results.rename(tmp_path / "aside")
    results.mkdir()
    wait_for_problem(server, "storage", "is its volume mounted?")
    assert list(results.iterdir()) == []
    results.rmdir()
    (tmp_path / "aside").rename(results)
    wait_until_ready(server)


def test_another_volume_is_not_ready(server: TestClient, tmp_path: Path) -> None:
    wait_until_ready(server)
    (tmp_path / "results" / MARKER_KEY).write_text("another")
    wait_for_problem(server, "storage", "not the storage that the jobs of this Redis are in")


def test_a_storage_that_hangs_is_not_ready_and_holds_up_no_answer(
    own_settings: Settings, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3.env.items():
        monkeypatch.setenv(name, value)
    on_s3 = own_settings.model_copy(update={"storage_url": f"s3://{BUCKET}/hangs-too"})
    with TestClient(create_app(on_s3)) as api:
        wait_until_ready(api)
        with frozen(s3.child):
            wait_for_problem(api, "storage", "")
            assert api.get("/readyz").json()["checks"]["redis"]["ok"]
        wait_until_ready(api)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Storage, Storage]:
    return tuple(Storage.open((tmp_path / name).as_uri()) for name in "ab")  # type: ignore[return-value]


def test_a_redis_and_a_storage_without_ids_agree(redis: Redis, storage: Storage) -> None:
    storage.put("jobs/j/1/audio.wav", b"of the version before")
    agree(storage, redis)
    agree(storage, redis)
    assert storage.marker() == redis.get(keys.STORAGE_ID)


def test_a_new_redis_takes_the_storage_that_is_there(redis: Redis, storage: Storage) -> None:
    agree(storage, redis)
    known = storage.marker()
    redis.flushall()
    agree(storage, redis)
    assert redis.get(keys.STORAGE_ID) == storage.marker() == known


def test_another_storage_is_refused_unless_it_is_adopted(
    redis: Redis, folders: tuple[Storage, Storage]
) -> None:
    ours, other = folders
    agree(ours, redis)
    with pytest.raises(Misconfigured, match="is its volume mounted"):
        agree(other, redis)
    assert other.marker() is None
    other.mark("another")
    with pytest.raises(Misconfigured, match="not the storage"):
        agree(other, redis)
    assert adopt(other, redis) == "another"
    agree(other, redis)
    with pytest.raises(Misconfigured):
        agree(ours, redis)


def test_a_storage_that_was_moved_is_the_same(
    redis: Redis, folders: tuple[Storage, Storage], tmp_path: Path
) -> None:
    agree(folders[0], redis)
    shutil.copytree(tmp_path / "a", tmp_path / "b", dirs_exist_ok=True)
    agree(folders[1], redis)


@pytest.mark.parametrize("storages", [1, 2])
def test_of_many_that_start_at_once_all_agree_on_one(
    redis: Redis, tmp_path: Path, storages: int
) -> None:
    def start(number: int) -> bool:
        try:
            agree(Storage.open((tmp_path / str(number % storages)).as_uri()), redis)
        except Misconfigured:
            return False
        return True

    for _ in range(20):
        redis.flushall()
        shutil.rmtree(tmp_path)
        with ThreadPoolExecutor(8) as threads:
            agreed = list(threads.map(start, range(8)))
        assert sum(agreed) == 8 // storages


def test_no_password_is_shown() -> None:
    assert without_password("s3://key:secret@bucket/x?token=1") == "s3://bucket/x"


def started(program: str, **env: str) -> tuple[int, str]:
    """The exit code and the last line of a process that is to refuse its start."""
    command = [sys.executable, "-m", program, *(["--model", "tiny"] if program == "worker" else [])]
    done = subprocess.run(
        command, env=os.environ | env, capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stderr.strip()


@pytest.mark.parametrize("program", ["api", "worker"])
def test_what_is_unfit_is_refused_at_the_start(
    program: str, s3: S3Server, own: Redis, own_settings: Settings, tmp_path: Path
) -> None:
    storage = tmp_path / "results"
    common = {"TTS_REDIS_URL": own_settings.redis_url, "TTS_STORAGE_URL": storage.as_uri()}
    own.config_set("maxmemory-policy", "volatile-ttl")
    code, said = started(program, **common)
    assert (code, said.count("\n")) == (1, 0)
    assert "maxmemory-policy volatile-ttl" in said
    assert "TTS_ALLOW_EVICTION=1" in said
    own.config_set("maxmemory-policy", "noeviction")

    on_s3 = common | s3.env
    missing = on_s3 | {"TTS_STORAGE_URL": "s3://no-such-bucket"}
    wrong = on_s3 | {"TTS_STORAGE_URL": f"s3://{BUCKET}/w", "AWS_SECRET_ACCESS_KEY": "wrong"}
    plain = on_s3 | {"TTS_STORAGE_URL": f"s3://{BUCKET}/w", "AWS_ALLOW_HTTP": ""}
    agree(Storage.open(common["TTS_STORAGE_URL"]), own)
    other = common | {"TTS_STORAGE_URL": (tmp_path / "other").as_uri()}
    for env, expected in (
        (missing, "no such bucket"),
        (wrong, "check its credentials"),
        (plain, "AWS_ALLOW_HTTP=1"),
        (other, "is its volume mounted"),
    ):
        code, said = started(program, **env)
        assert (code, said.count("\n")) == (1, 0), said
        assert said.startswith(f"error: TTS_STORAGE_URL={env['TTS_STORAGE_URL']}: "), said
        assert expected in said
        assert "wrong" not in said.replace("wrong credentials", "")


def test_eviction_is_taken_where_it_is_meant(own: Redis, own_settings: Settings) -> None:
    own.config_set("maxmemory-policy", "volatile-ttl")
    meant = own_settings.model_copy(update={"allow_eviction": True})
    with TestClient(create_app(meant)) as api:
        (warning,) = wait_until_ready(api)["checks"]["redis"]["warnings"]
    assert "volatile-ttl" in warning


def test_a_storage_is_adopted_by_command(
    redis: Redis, settings: Settings, folders: tuple[Storage, Storage], tmp_path: Path
) -> None:
    agree(folders[0], redis)
    env = {"TTS_REDIS_URL": settings.redis_url, "TTS_STORAGE_URL": (tmp_path / "b").as_uri()}
    assert said(env) == (1, "is its volume mounted")
    assert said(env, "adopt") == (0, "jobs are here now")
    assert said(env) == (0, "jobs are here (id")
    assert redis.get(keys.STORAGE_ID) == folders[1].marker()


def test_a_check_of_a_storage_adopts_nothing(
    redis: Redis, settings: Settings, tmp_path: Path
) -> None:
    env = {"TTS_REDIS_URL": settings.redis_url, "TTS_STORAGE_URL": settings.storage_url}
    folder = tmp_path / "results"
    assert said(env) == (1, "there is no folder")
    assert not folder.exists()
    folder.mkdir()
    assert said(env) == (0, "the first start takes this one")
    assert not (folder / MARKER_KEY).exists()
    (folder / MARKER_KEY).write_text("mine")
    assert said(env) == (0, "the first start takes this one")
    assert redis.get(keys.STORAGE_ID) is None


def said(env: dict[str, str], *command: str) -> tuple[int, str]:
    """The exit code of `python -m api.storage`, and which of the known sentences it says."""
    done = subprocess.run(
        [sys.executable, "-m", "api.storage", *command],
        env=os.environ | env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    known = (
        *("is its volume mounted", "jobs are here now", "jobs are here (id"),
        *("there is no folder", "the first start takes this one"),
    )
    (found,) = (each for each in known if each in done.stdout + done.stderr)
    return done.returncode, found
