"""One API over two Redis servers: each owner's records are in one of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from redis import Redis

from client.local.ports import free_port
from client.local.redis_server import RedisServer
from shared.errors import Unavailable
from shared.models import ModelCard
from shared.settings import Settings
from shared.storage import Storage
from shared.store import api_keys
from shared.store.api_keys import ApiKeys, KeyMark
from shared.store.connection import connect
from tests.support.api_key_header import bearer
from tests.support.live_server import serving
from tests.support.processes import wait_until
from tests.support.receiver import Receiver
from tests.support.stub_worker import speaking
from tests.support.valid_job import VALID_JOB


class Service(NamedTuple):
    """Clients of two owners: of `near` in the first ledger, and of `far` in the second."""

    near: httpx.Client
    far: httpx.Client
    second: RedisServer


@pytest.fixture
def second(tmp_path: Path) -> Iterator[RedisServer]:
    folder, log = tmp_path / "second", tmp_path / "second.log"
    with RedisServer(folder, port=free_port(), log=log) as server:
        yield server


@pytest.fixture
def settings(settings: Settings, second: RedisServer) -> Settings:
    table = {"west": {"redis_url": second.url, "owners": ["far"]}}
    return settings.model_copy(
        update={"ledgers": json.dumps(table), "webhook_targets": "any", "max_open_jobs": 50}
    )


@pytest.fixture
def service(
    settings: Settings, redis: Redis, card: ModelCard, second: RedisServer
) -> Iterator[Service]:
    """The API and a worker on each ledger."""
    keys = ApiKeys(redis, KeyMark(Storage.open(settings.storage_url)))
    tokens = [keys.create(name, owner=name)[1] for name in ("near", "far")]
    west = settings.model_copy(update={"redis_url": second.url})
    with serving(settings) as url, speaking(settings, [card]), speaking(west, [card]):
        clients = [httpx.Client(base_url=url, headers=bearer(token)) for token in tokens]
        for client in clients:
            wait_until(lambda client=client: client.get("/v1/models").json()["data"])
        yield Service(*clients, second)
        for client in clients:
            client.close()


def speak(client: httpx.Client, **changes: Any) -> dict[str, Any]:
    """A job that has completed."""
    sent = client.post("/v1/jobs", json=VALID_JOB | changes)
    assert sent.status_code == 202, sent.text
    url = sent.json()["links"]["self"]
    found: dict[str, Any] = {}

    def is_completed() -> bool:
        found.update(client.get(url).json())
        return found["status"] == "completed"

    wait_until(is_completed, 60)
    return found


def job_keys(redis: Redis) -> list[str]:
    return sorted(redis.scan_iter("tts:job:*"))


def test_each_owner_is_served_by_its_ledger(
    service: Service, redis: Redis, receiver: Receiver
) -> None:
    near, far = (speak(client, webhook=receiver.url) for client in (service.near, service.far))
    with connect(service.second.url) as west:
        assert job_keys(redis) == [f"tts:job:{near['id']}"]
        assert job_keys(west) == [f"tts:job:{far['id']}"]
        # The keys are in the first ledger only, and the storage belongs to both.
        assert not west.exists("tts:keys")
        assert west.get("tts:storage_id") == redis.get("tts:storage_id")
    for client, own, other in ((service.near, near, far), (service.far, far, near)):
        assert [job["id"] for job in client.get("/v1/jobs").json()["data"]] == [own["id"]]
        assert client.get(f"/v1/jobs/{own['id']}/content").content[:4] == b"RIFF"
        assert client.get(f"/v1/jobs/{other['id']}").status_code == 404
        assert client.get("/v1/queue").json()["workers"] == 1

    def told() -> set[str]:
        return {json.loads(each.body)["data"]["id"] for each in receiver.got}

    wait_until(lambda: told() == {near["id"], far["id"]}, 30)


def test_speech_at_once_comes_through_the_ledger_of_its_owner(service: Service) -> None:
    asked = {"model": "tts-1", "input": "Hello.", "voice": "vivian", "response_format": "pcm"}
    for client in (service.near, service.far):
        answer = client.post("/v1/audio/speech", json=asked, timeout=60)
        assert answer.status_code == 200
        assert answer.content


def test_a_ledger_that_is_away_stops_its_owners_only(service: Service) -> None:
    def readiness() -> Any:
        return service.near.get("/readyz")

    wait_until(lambda: readiness().json()["workers"] == 2, 30)
    service.second.stop()
    refused = service.far.post("/v1/jobs", json=VALID_JOB)
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "service_unavailable")
    speak(service.near)
    wait_until(lambda: not readiness().json()["checks"]["redis.west"]["ok"], 30)
    assert readiness().status_code == 200
    assert readiness().json()["checks"]["redis"]["ok"]
    service.second.start()
    wait_until(lambda: service.far.get("/v1/jobs").status_code == 200, 30)
    speak(service.far)


def test_keys_outlive_the_redis_that_has_them(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_keys, "MAX_TABLE_AGE_S", 0.0)
    key, token = ApiKeys(redis).create("phone")
    with connect(f"redis://127.0.0.1:{free_port()}/0") as away:
        patient, plain = ApiKeys(redis, outage_s=3_600), ApiKeys(redis)
        for keys in (patient, plain):
            assert keys.look().find(token) == key
            monkeypatch.setattr(keys, "_redis", away)
        assert patient.look().find(token) == key
        with pytest.raises(Unavailable):
            plain.look()
        with pytest.raises(Unavailable):  # it has read none
            ApiKeys(away, outage_s=3_600).look()
        monkeypatch.setattr(patient, "_outage_s", 0.0)  # the outage has taken too long
        with pytest.raises(Unavailable):
            patient.look()
        monkeypatch.setattr(patient, "_redis", redis)
        ApiKeys(redis).revoke(key.id)
        assert patient.look().find(token) is None
