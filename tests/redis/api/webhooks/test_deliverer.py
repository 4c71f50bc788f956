"""What is queued arrives, signed, however its receiver and the processes around it fare."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
from anyio.to_thread import run_sync
from fastapi.testclient import TestClient
from redis import Redis
from standardwebhooks import Webhook as Verifier

from api.app import create_app
from api.safe_http.client import SafeClient
from api.services import Services
from api.webhooks.deliverer import Deliverer
from api.webhooks.delivery import WebhookSender
from api.webhooks.retries import Reply
from shared.jobs import SegmentResult, SpeechSpec
from shared.settings import Settings
from shared.store.connection import connect
from shared.store.ledger import Ledger
from shared.store.webhooks import END_EVENTS, Event, Events, Webhook
from tests.support.plain_segments import plain
from tests.support.processes import wait_until
from tests.support.receiver import Got, Receiver, receiving
from tests.support.valid_job import VALID_JOB

SOON = (0.01, 0.01)
Start = Callable[..., Deliverer]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"webhook_targets": "any"})


@pytest.fixture
def services(settings: Settings) -> Iterator[Services]:
    services = Services(settings)
    yield services
    asyncio.run(services.close())


@pytest.fixture
def start(services: Services, redis: Redis) -> Iterator[Start]:
    """Starts deliverers with retries that do not take days."""
    started: list[Deliverer] = []

    def start(*, max_deliveries: int = 4, lease_s: float = 20) -> Deliverer:
        client, secrets = SafeClient(allow_private=True), services.webhook_secrets
        sender = WebhookSender(client, services.ledger, secrets, services.settings.result_ttl_s)
        deliverer = Deliverer(
            Events(redis, lease_s=lease_s),
            sender.deliver,
            retries_s=SOON,
            max_deliveries=max_deliveries,
            poll_s=0.01,
        )
        deliverer.start()
        started.append(deliverer)
        return deliverer

    yield start
    for deliverer in started:
        deliverer.close()


def end_one(ledger: Ledger, spec: SpeechSpec, job: str, receiver: Receiver) -> None:
    webhook = Webhook(url=receiver.url, receiver=receiver.url.rpartition("/")[0], events=END_EVENTS)
    ledger.admit(job, spec, plain(["x"]), webhook=webhook)
    ledger.cancel(job)


def all_is_done(redis: Redis) -> bool:
    return redis.keys("tts:webhooks:*") == []


def verified(got: Got, services: Services) -> dict[str, Any]:
    """What a receiver that checks the signature gets."""
    (secret,) = services.webhook_secrets.of("public")
    read: dict[str, Any] = Verifier(secret).verify(got.body, got.headers)
    return read


def test_a_running_api_tells_what_becomes_of_a_job(
    api: TestClient, redis: Redis, receiver: Receiver, services: Services
) -> None:
    """With the real times, and through what `create_app` starts."""
    asked = {"webhook": receiver.url, "webhook_events_filter": ["job.in_progress", "job.completed"]}
    job = api.post("/v1/jobs", json=VALID_JOB | asked).json()
    ledger = Ledger(redis, lease_s=10, max_attempts=3)
    claim = ledger.claim(job["model"])
    assert claim
    wait_until(lambda: len(receiver.got) == 1)
    join = ledger.commit(claim, SegmentResult(key="k", samples=24_000))
    assert join
    ledger.commit(join, SegmentResult(key="j", samples=24_000), size_bytes=48_044)
    wait_until(lambda: all_is_done(redis))
    began, ended = (verified(got, services) for got in receiver.got)
    assert (began["type"], began["data"]["status"]) == ("job.in_progress", "in_progress")
    assert ended["type"] == "job.completed"
    assert ended["data"] == api.get(f"/v1/jobs/{job['id']}").json()
    assert ended["data"]["audio"]["seconds"] == 1.0
    at = datetime.fromisoformat(ended["timestamp"])
    assert abs(at.timestamp() - ended["data"]["completed_at"]) <= 1
    got = receiver.got[1]
    assert (got.method, got.path) == ("POST", "/hook?token=hidden")
    assert got.headers["content-type"] == "application/json"
    assert got.headers["webhook-id"].startswith("evt_")
    assert got.headers["webhook-id"] != receiver.got[0].headers["webhook-id"]
    assert "authorization" not in got.headers


def test_an_attempt_that_fails_is_made_again_under_the_same_id(
    ledger: Ledger,
    spec: SpeechSpec,
    redis: Redis,
    receiver: Receiver,
    services: Services,
    start: Start,
) -> None:
    with receiving() as elsewhere:
        receiver.answers = [(500, {}), (302, {"Location": elsewhere.url}), (204, {})]
        end_one(ledger, spec, "j1", receiver)
        start()
        wait_until(lambda: all_is_done(redis))
        assert elsewhere.got == []
    assert len({got.headers["webhook-id"] for got in receiver.got}) == 1
    assert [verified(got, services)["type"] for got in receiver.got] == ["job.cancelled"] * 3


def test_it_is_given_up_after_the_last_attempt_and_logs_no_secret(
    ledger: Ledger,
    spec: SpeechSpec,
    redis: Redis,
    receiver: Receiver,
    start: Start,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    receiver.answers = [(404, {}), (503, {}), (400, {})]
    end_one(ledger, spec, "j1", receiver)
    start()
    wait_until(lambda: all_is_done(redis))
    wait_until(lambda: "given up" in caplog.text)
    assert len(receiver.got) == 3
    said = [record.message for record in caplog.records if record.name.startswith("api.webhooks")]
    event = receiver.got[0].headers["webhook-id"]
    where = f"Webhook {event} to http://127.0.0.1:{receiver.port}, attempt"
    assert [line.startswith(where) for line in said] == [True] * 3
    assert said[2].endswith("attempt 3: 400, given up; it can be sent again")
    assert "hidden" not in caplog.text
    assert sorted(redis.keys("tts:webhook*")) == [
        f"tts:webhook:{event}",
        "tts:webhook_secrets:public",
        "tts:webhooks_failed:public",
    ]


def test_a_receiver_that_is_gone_is_asked_once(
    ledger: Ledger, spec: SpeechSpec, redis: Redis, receiver: Receiver, start: Start
) -> None:
    receiver.answers = [(410, {})]
    end_one(ledger, spec, "j1", receiver)
    start()
    wait_until(lambda: all_is_done(redis))
    assert len(receiver.got) == 1


def test_a_job_that_was_deleted_is_told_of_all_the_same(
    api: TestClient, receiver: Receiver, services: Services
) -> None:
    receiver.open.clear()  # the first one is under way while the second one's job is deleted
    for name in ("one", "two"):
        api.put(f"/v1/jobs/{name}", json=VALID_JOB | {"webhook": receiver.url})
    api.post("/v1/jobs/one/cancel")
    wait_until(lambda: receiver.got)
    api.delete("/v1/jobs/two")
    receiver.open.set()
    wait_until(lambda: len(receiver.got) == 2)
    told = verified(receiver.got[1], services)
    assert told["data"] == {"id": "two", "object": "job", "status": "cancelled"}


def test_one_that_is_slow_holds_up_nobody_else(
    ledger: Ledger, spec: SpeechSpec, redis: Redis, receiver: Receiver, start: Start
) -> None:
    receiver.open.clear()
    for number in range(5):
        end_one(ledger, spec, f"slow{number}", receiver)
    start(max_deliveries=2)
    wait_until(lambda: receiver.got)
    with receiving() as quick:
        for number in range(5):
            end_one(ledger, spec, f"quick{number}", quick)
        wait_until(lambda: len(quick.got) == 5)
        assert len(receiver.got) == 1
        receiver.open.set()
        wait_until(lambda: all_is_done(redis))
    assert len(receiver.got) == 5


def test_several_processes_share_the_work(
    ledger: Ledger, spec: SpeechSpec, redis: Redis, receiver: Receiver, start: Start
) -> None:
    with receiving() as other:
        for number in range(10):
            end_one(ledger, spec, f"a{number}", receiver)
            end_one(ledger, spec, f"b{number}", other)
        for _ in range(3):
            start()
        wait_until(lambda: all_is_done(redis))
        ids = [got.headers["webhook-id"] for got in receiver.got + other.got]
    assert len(ids) == len(set(ids)) == 20


CHILD = """
import time
from api.services import Services
from api.safe_http.client import SafeClient
from api.webhooks.deliverer import Deliverer
from api.webhooks.delivery import WebhookSender
from shared.settings import Settings
from shared.store.webhooks import Events

services = Services(Settings.load())
client, secrets = SafeClient(allow_private=True), services.webhook_secrets
sender = WebhookSender(client, services.ledger, secrets, services.settings.result_ttl_s)
Deliverer(Events(services.redis, lease_s=0.5), sender.deliver, poll_s=0.01).start()
time.sleep(60)
"""


def test_what_a_killed_process_was_delivering_is_delivered_by_another(
    ledger: Ledger,
    spec: SpeechSpec,
    redis: Redis,
    receiver: Receiver,
    settings: Settings,
    start: Start,
) -> None:
    receiver.open.clear()
    end_one(ledger, spec, "j1", receiver)
    env = {"TTS_REDIS_URL": settings.redis_url, "TTS_STORAGE_URL": settings.storage_url}
    child = subprocess.Popen([sys.executable, "-c", CHILD], env=os.environ | env)
    try:
        wait_until(lambda: receiver.got, 30)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert not all_is_done(redis)
    receiver.open.set()
    start()
    wait_until(lambda: all_is_done(redis))
    first, second = receiver.got
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert json.loads(first.body) | {"data": 0} == json.loads(second.body) | {"data": 0}


def test_what_cannot_be_read_holds_up_no_others(
    ledger: Ledger,
    spec: SpeechSpec,
    redis: Redis,
    receiver: Receiver,
    start: Start,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An event, and a job, of another version."""
    with receiving() as other:
        end_one(ledger, spec, "j1", other)
        redis.hset(redis.keys("tts:webhook:*")[0], "type", "job.paused")
        end_one(ledger, spec, "j2", receiver)
        redis.hset("tts:job:j2", "spec", "{}")
        end_one(ledger, spec, "j3", receiver)
        start()
        # The first waits on, the second is given up, and the third has arrived.
        wait_until(lambda: len(redis.keys("tts:webhook:*")) == 2)
        wait_until(lambda: redis.zcard("tts:webhooks_failed:public") == 1)
        assert other.got == []
    assert [json.loads(got.body)["data"]["id"] for got in receiver.got] == ["j3"]
    assert "could not be read" in caplog.text
    wait_until(lambda: "an error on our side, given up" in caplog.text)  # logged once it is kept


def test_webhooks_wait_while_redis_is_away(caplog: pytest.LogCaptureFixture) -> None:
    asked: list[None] = []

    class Counted(Events):
        def take(self) -> None:
            asked.append(None)
            super().take()

    async def accept(_: Event) -> Reply:
        return Reply(200)

    with connect("redis://127.0.0.1:1") as nowhere:
        deliverer = Deliverer(Counted(nowhere, lease_s=1), accept, poll_s=0.01)
        deliverer.start()
        wait_until(lambda: len(asked) > 3)
        deliverer.close()
    assert caplog.text.count("Webhooks wait") == 1


def test_an_unexpected_error_of_the_queue_ends_no_delivery_that_is_under_way(
    ledger: Ledger,
    spec: SpeechSpec,
    redis: Redis,
    receiver: Receiver,
    caplog: pytest.LogCaptureFixture,
) -> None:
    end_one(ledger, spec, "j1", receiver)
    begun, failed = threading.Event(), threading.Event()
    ended: list[str] = []

    class Failing(Events):
        def take(self) -> Event | None:
            if begun.is_set() and not failed.is_set():
                failed.set()
                raise ZeroDivisionError
            return super().take()

    async def accept_after_the_failure(event: Event) -> Reply:
        begun.set()
        await run_sync(failed.wait, 10)
        await asyncio.sleep(0.1)
        ended.append(event.id)
        return Reply(200)

    deliverer = Deliverer(Failing(redis, lease_s=20), accept_after_the_failure, poll_s=0.01)
    deliverer.start()
    wait_until(lambda: "The thread webhooks failed" in caplog.text)
    assert len(ended) == 1
    assert all_is_done(redis)
    problem = deliverer.problem
    assert problem == "the thread `webhooks` failed with ZeroDivisionError and is started again"
    end_one(ledger, spec, "j2", receiver)
    wait_until(lambda: len(ended) == 2)
    deliverer.close()


def test_nothing_is_delivered_where_webhooks_are_switched_off(
    settings: Settings, ledger: Ledger, spec: SpeechSpec, redis: Redis, receiver: Receiver
) -> None:
    end_one(ledger, spec, "j1", receiver)
    with TestClient(create_app(settings.model_copy(update={"webhook_targets": "off"}))) as api:
        assert api.get("/healthz").is_success
    assert redis.hget(redis.keys("tts:webhook:*")[0], "attempt") == "0"
    assert receiver.got == []
