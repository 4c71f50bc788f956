"""A job that waits for a model that no worker serves says so, and only as long as it does."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator

import httpx
import pytest
from fastapi.testclient import TestClient
from redis import Redis

from shared.jobs import SegmentResult
from shared.models import ModelCard
from shared.settings import Settings
from shared.store.ledger import Ledger
from shared.store.workers import MAX_MODELS_AGE_S, WorkerRegistry
from tests.support.live_server import serving
from tests.support.processes import wait_until
from tests.support.registered_workers import sign_in
from tests.support.valid_job import VALID_JOB


@pytest.fixture
def registry(redis: Redis) -> WorkerRegistry:
    return WorkerRegistry(redis)


def told(api: TestClient, job_id: str) -> list[str | None]:
    """The model that a job waits for, by the job itself and by the list of jobs."""
    (listed,) = api.get("/v1/jobs").json()["data"]
    return [
        api.get(f"/v1/jobs/{job_id}").json()["waiting_for_model"],
        listed["waiting_for_model"],
    ]


def test_it_is_said_while_no_worker_serves_the_model(
    api: TestClient, registry: WorkerRegistry, card: ModelCard
) -> None:
    sent = api.post("/v1/jobs", json=VALID_JOB).json()
    assert sent["waiting_for_model"] is None
    registry.sign_out("w1", card)
    assert told(api, sent["id"]) == [card.id, card.id]
    # Accepted all the same, since the model was served today.
    time.sleep(MAX_MODELS_AGE_S)
    late = api.post("/v1/jobs", json=VALID_JOB).json()
    assert late["waiting_for_model"] == card.id
    assert api.delete(f"/v1/jobs/{late['id']}").status_code == 200
    # A worker of several models serves each of them, loaded or not.
    registry.sign_in("w9", card.model_copy(update={"id": "another"}), card)
    assert told(api, sent["id"]) == [None, None]


def test_a_job_under_way_says_it_too_and_one_that_has_ended_does_not(
    api: TestClient, registry: WorkerRegistry, card: ModelCard, ledger: Ledger
) -> None:
    sent = api.post("/v1/jobs", json=VALID_JOB | {"input": "One.\n\nTwo."}).json()
    claimed = ledger.claim(card.id)
    assert claimed is not None
    ledger.commit(claimed, SegmentResult(key="k", samples=1))
    registry.sign_out("w1", card)
    assert told(api, sent["id"]) == [card.id, card.id]
    cancelled = api.post(f"/v1/jobs/{sent['id']}/cancel").json()
    assert cancelled["waiting_for_model"] is None
    assert told(api, sent["id"]) == [None, None]


def test_a_model_that_was_never_served_is_refused_as_before(api: TestClient) -> None:
    answer = api.post("/v1/jobs", json=VALID_JOB | {"model": "unknown"})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith("no worker serves 'unknown'; served here:")


@pytest.fixture
def url(settings: Settings, redis: Redis, card: ModelCard) -> Iterator[str]:
    sign_in(redis, card)
    with serving(settings) as url:
        yield url


def test_listeners_are_told_when_it_changes(
    url: str, registry: WorkerRegistry, card: ModelCard
) -> None:
    sent = httpx.post(f"{url}/v1/jobs", json=VALID_JOB).json()
    events: list[str | None] = []

    def listen() -> None:
        with httpx.stream("GET", url + sent["links"]["events"], timeout=30) as answer:
            for line in answer.iter_lines():
                if line.startswith("data:"):
                    events.append(json.loads(line[5:])["waiting_for_model"])

    listener = threading.Thread(target=listen)
    listener.start()
    wait_until(lambda: events == [None])
    registry.sign_out("w1", card)
    wait_until(lambda: events == [None, card.id])
    registry.sign_in("w1", card)
    wait_until(lambda: events == [None, card.id, None])
    httpx.post(f"{url}/v1/jobs/{sent['id']}/cancel")
    listener.join(10)
    assert not listener.is_alive()
