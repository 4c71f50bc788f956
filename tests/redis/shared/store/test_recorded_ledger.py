"""Ledgers that versions before this one wrote are read, and finished, by this one."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import soundfile
from fastapi.testclient import TestClient
from redis import Redis

from api.app import create_app
from shared.models import ModelCard
from shared.settings import Settings
from shared.storage import Storage
from shared.store.api_keys import ApiKeys, Scope
from shared.store.ledger import Ledger
from shared.store.webhooks import Events
from tests.support.api_key_header import bearer
from tests.support.ledger_state import LedgerState
from tests.support.paths import ROOT
from tests.support.processes import wait_until
from tests.support.stub_worker import speaking
from tests.support.valid_job import VALID_JOB

RECORDED = ROOT / "tests" / "recorded"
# The second one has an API key, and jobs that failed or were cancelled.
with_key = pytest.mark.parametrize("facts", ["ledger_3"], indirect=True)
WRITE: dict[str, Callable[[Redis, str, Any], object]] = {
    "string": lambda redis, key, value: redis.set(key, value),
    "hash": lambda redis, key, value: redis.hset(key, mapping=value),
    "list": lambda redis, key, value: redis.rpush(key, *value),
    "zset": lambda redis, key, value: redis.zadd(key, dict(value)),
}


@pytest.fixture(params=["ledger_2", "ledger_3"])
def facts(request: pytest.FixtureRequest, redis: Redis, tmp_path: Path) -> dict[str, str]:
    """The ids of what was recorded, which is in Redis and in the storage now."""
    folder = RECORDED / request.param
    recorded = json.loads((folder / "redis.json").read_text("utf-8"))
    for key, row in recorded["keys"].items():
        WRITE[row["type"]](redis, key, row["value"])
    with tarfile.open(folder / "storage.tar.xz") as tar:
        tar.extractall(tmp_path / "results", filter="data")
    return dict(recorded["facts"])


@pytest.fixture
def api(settings: Settings, facts: dict[str, str], card: ModelCard) -> Iterator[TestClient]:
    known = settings.model_copy(update={"webhook_targets": "off"})
    headers = bearer(facts.get("token", ""))
    with TestClient(create_app(known), headers=headers) as client, speaking(known, [card]):
        yield client


def ended(api: TestClient, job_id: str) -> dict[str, Any]:
    job: dict[str, Any] = {}

    def has_ended() -> bool:
        job.update(api.get(f"/v1/jobs/{job_id}").json())
        return job["status"] not in ("queued", "in_progress")

    wait_until(has_ended, 60)
    return job


@pytest.mark.parametrize("name", ["completed", "leased", "queued", "idempotent"])
def test_a_job_of_each_status_is_completed(
    name: str, api: TestClient, facts: dict[str, str]
) -> None:
    job = ended(api, facts[name])
    assert (job["status"], job["error"]) == ("completed", None)
    wav = api.get(job["links"]["content"])
    samples, rate = soundfile.read(BytesIO(wav.content))
    assert rate == 24_000
    assert len(samples) > 10_000


def test_a_batch_and_a_voice_go_on(api: TestClient, facts: dict[str, str], redis: Redis) -> None:
    path = f"/v1/batches/{facts['batch']}"
    wait_until(lambda: api.get(path).json()["status"] == "completed", 60)
    lines = [json.loads(line) for line in api.get(f"{path}/output").text.splitlines()]
    assert [line["custom_id"] for line in lines] == ["line 1", "line 2"]
    assert [line["response"]["body"]["status"] for line in lines] == ["completed"] * 2
    voice = api.get(f"/v1/audio/voices/{facts['voice']}").json()
    assert (voice["name"], voice["duration_s"]) == ("Anna", 3.0)
    assert api.get(f"/v1/audio/voices/{facts['voice']}/sample").content[:4] == b"RIFF"
    again = api.post(
        "/v1/jobs",
        json=VALID_JOB | {"input": "Sent with a key."},
        headers={"Idempotency-Key": "once"},
    )
    assert again.json()["id"] == facts["idempotent"]
    for name in ("leased", "queued", "idempotent"):
        ended(api, facts[name])
    LedgerState.read(redis).check(is_upgraded=True)


def test_its_jobs_have_no_history_and_say_so(api: TestClient, facts: dict[str, str]) -> None:
    ended(api, facts["queued"])
    told = api.get(f"/v1/jobs/{facts['queued']}/history").json()
    assert (told["recorded"], told["data"]) == (False, [])


@with_key
def test_its_key_is_needed_and_sees_its_jobs(api: TestClient, facts: dict[str, str]) -> None:
    assert api.get("/v1/jobs", headers=bearer(facts["token"] + "x")).status_code == 401
    listed = [job["id"] for job in api.get("/v1/jobs?limit=100").json()["data"]]
    named = {value for value in facts.values() if value.startswith("job_")}
    assert named < set(listed)
    assert len(listed) == len(named) + 2  # of the batch
    assert api.get("/v1/admin/queues").status_code == 403  # as before, it is no operator's


@with_key
def test_a_job_that_was_cancelled_stays_so(api: TestClient, facts: dict[str, str]) -> None:
    job = api.get(f"/v1/jobs/{facts['cancelled']}").json()
    assert (job["status"], job["segments"]["completed"]) == ("cancelled", 0)
    assert api.get(f"/v1/jobs/{facts['cancelled']}/content").status_code == 409


@with_key
def test_a_job_that_failed_is_retried(api: TestClient, facts: dict[str, str], redis: Redis) -> None:
    """An operator has its failed segments spoken again; the one that was done is kept."""
    path = f"/v1/jobs/{facts['failed']}"
    before = api.get(path).json()
    assert (before["status"], before["error"]["code"]) == ("failed", "synthesis_failed")
    epoch = redis.hget(f"tts:segment:{facts['failed']}:0", "epoch")
    _, token = ApiKeys(redis).create("operator", scopes=(Scope.ADMIN,))
    wait_until(  # the API has read the keys anew
        lambda: api.post(f"/v1/admin{path[3:]}/retry", headers=bearer(token)).status_code == 200
    )
    assert ended(api, facts["failed"])["status"] == "completed"
    assert redis.hget(f"tts:segment:{facts['failed']}:0", "epoch") == epoch
    for name in ("leased", "queued", "idempotent"):
        ended(api, facts[name])
    wait_until(lambda: api.get(f"/v1/batches/{facts['batch']}").json()["status"] == "completed")
    LedgerState.read(redis).check(is_upgraded=True)


def test_a_clone_has_its_recording(facts: dict[str, str], redis: Redis, storage: Storage) -> None:
    claim = Ledger(redis, lease_s=10, max_attempts=3).claim("b")
    assert claim is not None
    assert claim.job_id == facts["clone"]
    assert claim.spec.reference is not None
    assert storage.get(claim.spec.reference.key)[:4] == b"RIFF"


def test_an_event_is_delivered_next(facts: dict[str, str], redis: Redis) -> None:
    event = Events(redis, lease_s=10).take()
    assert event is not None
    assert (event.job, event.type) == (facts["completed"], "job.completed")
    assert event.url == "https://receiver.example/hook"
