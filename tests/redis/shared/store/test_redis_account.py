"""An account with the rights of docs/redis.md, and no others, is enough for every part."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from redis import Redis
from redis.exceptions import NoPermissionError

from api.app import create_app
from client.local.redis_server import RedisServer
from shared.broker import make_celery_app
from shared.models import ModelCard
from shared.settings import Settings
from shared.storage import Storage
from shared.store.api_keys import ApiKeys
from shared.store.connection import connect
from shared.store.ledger import Ledger
from shared.store.voices import Voices
from tests.support.paths import ROOT
from tests.support.processes import wait_until
from tests.support.stub_worker import speaking
from tests.support.valid_job import VALID_JOB
from worker.cleaner import Cleaner

DOCS = ROOT / "docs" / "redis.md"


@pytest.fixture
def url(redis_server: RedisServer, redis: Redis) -> Iterator[str]:
    """The address with an account that the very line of the documentation makes."""
    (line,) = re.findall(r"^ACL SETUSER (tts .*)$", DOCS.read_text(), re.MULTILINE)
    redis.execute_command("ACL", "LOG", "RESET")
    redis.execute_command("ACL", "SETUSER", *line.replace("PASSWORD", "hunter2").split())
    yield redis_server.url.replace("//", "//tts:hunter2@")
    redis.acl_deluser("tts")


def test_every_part_works_with_the_account(
    redis: Redis, url: str, settings: Settings, card: ModelCard, storage: Storage
) -> None:
    settings = settings.model_copy(update={"redis_url": url})
    with TestClient(create_app(settings)) as api, speaking(settings, [card]):
        wait_until(lambda: api.get("/readyz").json().get("workers"))
        job = api.post("/v1/jobs", json=VALID_JOB).json()["id"]
        wait_until(lambda: api.get(f"/v1/jobs/{job}").json()["status"] == "completed")
        for path in ("jobs", "queue", "models", "audio/voices", "webhooks/default/secret"):
            assert api.get(f"/v1/{path}").is_success, path
        assert api.delete(f"/v1/jobs/{job}").is_success
    with connect(url) as own:
        ledger = Ledger(own, lease_s=10, max_attempts=3)
        Cleaner(ledger=ledger, voices=Voices(own), storage=storage, ttl_s=1).sweep()
        ApiKeys(own).create("phone")
        assert own.info("memory")
    consume_one(url)
    # redis-py tells its name with CLIENT SETINFO, and goes on where Redis 6.2 knows none.
    assert {entry["object"] for entry in redis.acl_log()} <= {"client"}


def consume_one(url: str) -> None:
    app = make_celery_app(url)
    with app.connection_for_read(transport="worker.celery_transport:Transport") as connection:
        queue = connection.SimpleQueue("tts.m")
        queue.put("x")
        queue.get(timeout=5).reject(requeue=True)
        queue.get(timeout=5).ack()
        connection.default_channel.qos.restore_visible()
        connection.transport.cycle.close()


@pytest.mark.parametrize("command", ["FLUSHALL", "CONFIG GET *", "KEYS *", "GET other", "ACL LIST"])
def test_the_account_may_do_no_more(url: str, command: str) -> None:
    with connect(url) as redis, pytest.raises(NoPermissionError):
        redis.execute_command(*command.split())


def test_an_account_is_not_used_for_another(url: str, redis_server: RedisServer) -> None:
    """In one process, which has a pool of connections for each."""
    for address, user in ((url, "tts"), (redis_server.url, "default")):
        with make_celery_app(address).producer_or_acquire() as producer:
            found = producer.channel.client.execute_command("ACL WHOAMI")
        assert found == user
