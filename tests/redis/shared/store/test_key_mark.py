"""A Redis that loses its keys opens nothing: not under a running API, and not after a restart."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from redis import Redis

from api.__main__ import check_address
from client.local.ports import free_port
from shared.errors import InvalidSetting, Unavailable
from shared.settings import Settings
from shared.storage import MARKER_KEY, Storage
from shared.storage_identity import agree
from shared.store import api_keys as keys_module
from shared.store.api_keys import MARK_KEY, ApiKeys, KeyMark
from tests.support.live_server import serving
from tests.support.processes import wait_until
from tests.support.s3_server import BUCKET, S3Server


@pytest.fixture(autouse=True)
def always_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys_module, "MAX_TABLE_AGE_S", 0.0)


@pytest.fixture
def mark(storage: Storage) -> KeyMark:
    return KeyMark(storage)


def status(url: str, token: str = "") -> int:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.get(f"{url}/v1/jobs", headers=headers).status_code


def lose(redis: Redis) -> None:
    redis.flushall()


@pytest.mark.parametrize("auth", ["auto", "open"])
def test_a_running_api_that_has_seen_a_key_never_opens_again(
    settings: Settings, redis: Redis, results: Path, auth: str
) -> None:
    with serving(settings.model_copy(update={"auth": auth})) as url:
        assert status(url) == status(url, "any") == 200
        _, token = ApiKeys(redis).create("phone")  # by a version that writes no mark
        assert status(url) == 401
        assert status(url, token) == 200
        wait_until((results / MARK_KEY).exists)
        shutil.rmtree(results)  # even if the storage is lost with Redis
        lose(redis)
        assert status(url) == status(url, "any") == status(url, token) == 401
        _, fresh = ApiKeys(redis).create("phone")
        assert status(url, token) == 401  # the lost key stays lost
        assert status(url, fresh) == 200


def test_a_key_of_before_the_loss_is_not_known_to_a_process_that_did_not_look(
    settings: Settings, redis: Redis
) -> None:
    with serving(settings) as url:
        _, token = ApiKeys(redis).create("phone")
        assert status(url, token) == 200
        lose(redis)
        _, fresh = ApiKeys(redis).create("phone")
        assert (status(url, token), status(url, fresh)) == (401, 200)


@pytest.mark.parametrize("auth", ["auto", "open"])
def test_a_restart_after_the_loss_opens_nothing(
    settings: Settings, redis: Redis, mark: KeyMark, auth: str
) -> None:
    ApiKeys(redis, mark).create("phone")
    lose(redis)
    with serving(settings.model_copy(update={"auth": auth})) as url:
        assert status(url) == status(url, "any") == 401


def test_an_idle_process_looks_at_the_mark_when_redis_has_lost_its_data(
    settings: Settings, redis: Redis, mark: KeyMark
) -> None:
    """It has seen an open service, and never the key."""
    with ExitStack() as running:
        urls = [running.enter_context(serving(settings)) for _ in range(3)]
        assert [status(url) for url in urls] == [200] * 3
        ApiKeys(redis, mark).create("phone")
        lose(redis)
        assert [status(url) for url in urls] == [401] * 3


def test_an_open_service_asks_its_storage_only_when_redis_has_lost_its_data(
    settings: Settings, redis: Redis, results: Path
) -> None:
    with serving(settings) as url:
        assert status(url) == 200
        with unreadable(results):
            assert status(url) == 200
            lose(redis)
            assert status(url) == 503  # the mark may be there
        assert status(url) == 200


class unreadable:
    """A storage that fails, since its folder is a file."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._aside = folder, folder.with_name("aside")

    def __enter__(self) -> None:
        self._folder.rename(self._aside)
        self._folder.write_text("no folder")

    def __exit__(self, *_: object) -> None:
        self._folder.unlink()
        self._aside.rename(self._folder)


def test_a_service_that_starts_without_its_storage_is_closed(
    redis: Redis, storage: Storage, results: Path
) -> None:
    keys = ApiKeys(redis, KeyMark(storage))
    with unreadable(results):
        for _ in range(3):
            with pytest.raises(Unavailable):
                keys.look()
    assert not keys.exist()


def test_a_service_that_starts_without_keys_or_storage_finds_the_mark_later(
    redis: Redis, storage: Storage, results: Path
) -> None:
    ApiKeys(redis, KeyMark(storage)).create("phone")
    lose(redis)
    restarted = [ApiKeys(redis, KeyMark(storage)) for _ in range(2)]
    with unreadable(results):
        for keys in restarted * 3:
            with pytest.raises(Unavailable):
                keys.look()
    assert [keys.exist() for keys in restarted] == [True, True]


def test_a_redis_that_takes_no_writes_does_not_close_an_open_service(
    redis: Redis, mark: KeyMark
) -> None:
    before = redis.config_get("maxmemory")["maxmemory"]
    redis.config_set("maxmemory", 1)
    try:
        keys = ApiKeys(redis, mark)
        assert not keys.exist()
        mark.set()  # nothing was remembered, so it is found at the next look
        assert keys.exist()
    finally:
        redis.config_set("maxmemory", before)


def test_the_mark_is_not_needed_to_keep_serving(
    redis: Redis, storage: Storage, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys_module, "MARK_RETRY_INTERVAL_S", 0.0)
    keys = ApiKeys(redis, KeyMark(storage))
    with unreadable(results):
        ApiKeys(redis).create("phone")
        assert keys.exist()
        with pytest.raises(Unavailable):
            ApiKeys(redis, KeyMark(storage)).create("a key whose mark cannot be written")
        assert len(ApiKeys(redis).all()) == 1
    wait_until(lambda: keys.exist() and (results / MARK_KEY).exists())


def test_other_addresses_are_listened_on_but_closed_after_the_loss(
    settings: Settings, redis: Redis, mark: KeyMark, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InvalidSetting):
        check_address("0.0.0.0", settings)
    ApiKeys(redis, mark).create("phone")
    lose(redis)
    monkeypatch.setenv("TTS_AUTH", "auto")
    check_address("0.0.0.0", settings)
    assert Settings.load().auth == "required"


@pytest.fixture
def env(settings: Settings) -> dict[str, str]:
    return {
        **os.environ,
        "TTS_REDIS_URL": settings.redis_url,
        "TTS_STORAGE_URL": settings.storage_url,
        "TTS_AUTH": "auto",
    }


@pytest.fixture
def two_processes(env: dict[str, str], tmp_path: Path) -> Iterator[str]:
    """One API of two processes; connections are dealt out between them."""
    port = str(free_port("127.0.0.1"))
    command = [sys.executable, "-m", "api", "--port", port, "--workers", "2"]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(command, env=env, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: is_up(url), 30)
        yield url
    finally:
        server.terminate()
        server.wait()


def is_up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").is_success
    except httpx.HTTPError:
        return False


def create_key(env: dict[str, str], **other: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "api.keys", "create", "phone"],
        env=env | other,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_key_is_made_only_where_the_jobs_are(
    redis: Redis, storage: Storage, env: dict[str, str], tmp_path: Path
) -> None:
    agree(storage, redis)
    (tmp_path / "other").mkdir()
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / MARKER_KEY).write_text("another")
    for name, says in (
        ("missing", "there is no folder"),
        ("other", "is its volume mounted"),
        ("foreign", "not the storage that the jobs of this Redis are in"),
    ):
        made = create_key(env, TTS_STORAGE_URL=(tmp_path / name).as_uri())
        assert (made.returncode, made.stdout) == (1, "")
        assert made.stderr.startswith(f"narrate: TTS_STORAGE_URL=file://{tmp_path / name}: ")
        assert says in made.stderr
        assert not (tmp_path / name / MARK_KEY).exists()
    assert not (tmp_path / "missing").exists()
    assert ApiKeys(redis).all() == []
    assert create_key(env).returncode == 0


def test_the_first_key_of_a_new_service_makes_the_folder(
    redis: Redis, env: dict[str, str], results: Path
) -> None:
    assert create_key(env).returncode == 0
    assert (results / MARK_KEY).exists()
    agree(Storage.open(results.as_uri()), redis)


def test_no_password_of_the_storage_is_shown(
    redis: Redis, env: dict[str, str], s3: S3Server
) -> None:
    assert redis.dbsize() == 0
    url = f"s3://user:hidden@{BUCKET}/keys"
    made = create_key(env | s3.env, TTS_STORAGE_URL=url)
    assert made.returncode == 0, made.stderr
    assert "hidden" not in made.stderr
    assert f"(s3://{BUCKET}/keys/{MARK_KEY})" in made.stderr


def test_processes_of_one_api_close_together(
    redis: Redis, two_processes: str, env: dict[str, str], results: Path
) -> None:
    assert {status(two_processes) for _ in range(20)} == {200}
    made = create_key(env)
    assert made.returncode == 0
    assert "TTS_AUTH=required" in made.stderr
    assert (results / MARK_KEY).exists()
    lose(redis)
    wait_until(lambda: {status(two_processes) for _ in range(20)} == {401})
