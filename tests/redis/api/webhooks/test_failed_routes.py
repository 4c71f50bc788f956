"""A webhook that was given up is kept, and can be sent again, by its owner only."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from redis import Redis

from api.app import create_app
from api.safe_http.client import SafeClient
from api.webhooks.deliverer import Deliverer
from api.webhooks.delivery import WebhookSender
from shared.models import ModelCard
from shared.settings import Settings
from shared.store import api_keys as keys_module
from shared.store import webhooks
from shared.store.api_keys import ApiKeys, Scope
from shared.store.webhooks import Events
from tests.support.processes import wait_until
from tests.support.receiver import Receiver, receiving
from tests.support.registered_workers import sign_in
from tests.support.valid_job import VALID_JOB

FAILED = "/v1/webhooks/failed"
Headers = dict[str, str]


@pytest.fixture
def app(
    settings: Settings, redis: Redis, card: ModelCard, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FastAPI]:
    """Without its own deliverer, whose attempts take three days."""
    monkeypatch.setattr(keys_module, "MAX_TABLE_AGE_S", 0.0)
    sign_in(redis, card)
    app = create_app(settings.model_copy(update={"webhook_targets": "any"}))
    yield app
    asyncio.run(app.state.services.close())


@pytest.fixture
def api(app: FastAPI) -> TestClient:
    return TestClient(app)


@contextmanager
def delivering(app: FastAPI) -> Iterator[None]:
    """With two attempts."""
    services = app.state.services
    client, secrets = SafeClient(allow_private=True), services.webhook_secrets
    sender = WebhookSender(client, services.ledger, secrets, services.settings.result_ttl_s)
    events = Events(services.redis, lease_s=20)
    deliverer = Deliverer(events, sender.deliver, retries_s=(0.01,), poll_s=0.01)
    deliverer.start()
    with closing(deliverer):
        yield


def bearer(redis: Redis, name: str, *scopes: Scope) -> Headers:
    key = ApiKeys(redis).create(name, owner=name, scopes=scopes or tuple(Scope))
    return {"Authorization": f"Bearer {key[1]}"}


def end_one(api: TestClient, receiver: Receiver, headers: Headers) -> str:
    """A job that ends as cancelled, and tells so."""
    job = api.post("/v1/jobs", json=VALID_JOB | {"webhook": receiver.url}, headers=headers).json()
    api.post(f"{job['links']['self']}/cancel", headers=headers)
    return str(job["id"])


def failed(api: TestClient, headers: Headers, **params: int) -> list[dict[str, Any]]:
    answer = api.get(FAILED, headers=headers, params=params)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["data"])


def test_it_is_listed_and_sent_again(
    app: FastAPI, api: TestClient, redis: Redis, receiver: Receiver
) -> None:
    ann, ben, reads = (
        bearer(redis, "ann"),
        bearer(redis, "ben"),
        bearer(redis, "ann", Scope.READ),
    )
    receiver.answers = [(500, {})] * 3
    job = end_one(api, receiver, ann)
    assert failed(api, ann) == []
    with delivering(app):
        wait_until(lambda: failed(api, ann))
        (event,) = failed(api, reads)
        assert (event["job"], event["type"], event["attempts"]) == (job, "job.cancelled", 2)
        assert (event["reason"], event["url"]) == ("500", receiver.url)
        assert event["failed_at"] >= event["created_at"]
        assert failed(api, ben) == []
        resend = f"{FAILED}/{event['id']}/resend"
        assert api.post(resend, headers=ben).json()["error"]["code"] == "webhook_not_found"
        assert api.post(resend, headers=reads).status_code == 403
        assert api.post(resend).status_code == 401
        # One attempt fails again, and there is another: it has all of them.
        assert api.post(resend, headers=ann).status_code == 202
        wait_until(lambda: len(receiver.got) == 4)
        assert {got.headers["webhook-id"] for got in receiver.got} == {event["id"]}
        wait_until(lambda: redis.keys("tts:webhook:*") == [])
    assert failed(api, ann) == []
    assert api.post(resend, headers=ann).status_code == 404
    assert redis.keys("tts:webhooks*") == []


def test_it_can_be_given_up_again(
    app: FastAPI, api: TestClient, redis: Redis, receiver: Receiver
) -> None:
    receiver.answers = [(500, {})] * 4
    end_one(api, receiver, {})
    with delivering(app):
        wait_until(lambda: failed(api, {}))
        event = failed(api, {})[0]["id"]
        assert api.post(f"{FAILED}/{event}/resend").status_code == 202
        wait_until(lambda: failed(api, {}) and failed(api, {})[0]["attempts"] == 4)
    assert redis.ttl(f"tts:webhook:{event}") > 3_600


def test_they_are_kept_for_a_time_and_so_many(
    app: FastAPI,
    api: TestClient,
    redis: Redis,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(webhooks, "MAX_FAILED_EVENTS", 3)
    ann = bearer(redis, "ann")
    receiver.answers = [(500, {})] * 20
    jobs = [end_one(api, receiver, ann) for _ in range(5)]
    with delivering(app):
        wait_until(lambda: len(receiver.got) == 10 and len(failed(api, ann)) == 3)
        wait_until(lambda: redis.keys("tts:webhooks:*") == [])
    assert {event["job"] for event in failed(api, ann)} < set(jobs)
    assert len(redis.keys("tts:webhook:*")) == 3
    assert len(failed(api, ann, limit=2)) == 2
    for key in (*redis.keys("tts:webhook:*"), "tts:webhooks_failed:ann"):
        assert 0 < redis.ttl(key) <= 7 * 24 * 3_600
    gone = failed(api, ann)[0]["id"]
    redis.delete(f"tts:webhook:{gone}")  # as when its time has run out
    assert len(failed(api, ann)) == 2
    assert api.post(f"{FAILED}/{gone}/resend", headers=ann).status_code == 404


def test_an_attempt_that_is_late_gives_nothing_up(redis: Redis, api: TestClient) -> None:
    """It has lost its lease: the attempt after it has the last word."""
    with receiving() as receiver:
        end_one(api, receiver, {})
    events = Events(redis, lease_s=0.001)
    first = events.take()
    wait_until(lambda: redis.keys("tts:webhook_busy:*") == [])
    second = events.take()
    assert first is not None
    assert second is not None
    events.give_up(first, "late")
    assert failed(api, {}) == []
    events.done(second)
    events.give_up(second, "after it was delivered")
    assert failed(api, {}) == []
    assert redis.keys("tts:webhook*") == []


@pytest.mark.parametrize("reason", ["", "0", "done", "again"])
def test_an_event_is_kept_whatever_the_reason_it_was_given_up_for(
    redis: Redis, api: TestClient, reason: str
) -> None:
    with receiving() as receiver:
        end_one(api, receiver, {})
    events = Events(redis, lease_s=100)
    event = events.take()
    assert event is not None
    events.give_up(event, reason)
    assert [each["id"] for each in failed(api, {})] == [event.id]
    assert redis.hget(f"tts:webhook:{event.id}", "reason") == reason
    assert events.take() is None
