"""What a request may say of its webhook, what is queued for it, and what signs it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import ValidationError
from redis import Redis
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from api.app import create_app
from api.webhooks.delivery import signature_headers
from shared.jobs import SegmentResult, SpeechSpec
from shared.models import ModelCard
from shared.settings import Settings
from shared.store.api_keys import ApiKeys
from shared.store.ledger import Ledger
from shared.store.webhook_secrets import MAX_SECRETS_IN_USE, WebhookSecrets
from shared.store.webhooks import END_EVENTS, Events, EventType, Webhook
from tests.support.plain_segments import plain
from tests.support.processes import wait_until
from tests.support.registered_workers import sign_in
from tests.support.valid_job import VALID_JOB

SECRET = "/v1/webhooks/default/secret"
HOOK = "https://receiver.example/hook?token=hidden"
JSONL = {"Content-Type": "application/jsonl"}
ALL = tuple(EventType)


@pytest.fixture
def idle_api(settings: Settings, redis: Redis, card: ModelCard) -> Iterator[TestClient]:
    """Accepts webhooks and delivers none: nothing has started."""
    sign_in(redis, card)
    app = create_app(settings)
    yield TestClient(app)
    asyncio.run(app.state.services.close())


def queued_events(redis: Redis) -> list[dict[str, str]]:
    """All events, in the order in which they came."""
    found: list[Any] = [redis.hgetall(key) for key in redis.keys("tts:webhook:*")]
    return sorted(found, key=lambda event: float(event["at"]))


def hook(*events: EventType, url: str = HOOK, signer: str = "public") -> Webhook:
    return Webhook(url=url, receiver="https://receiver.example", events=events, signer=signer)


@pytest.mark.parametrize(
    ("change", "param", "says"),
    [
        ({"webhook": "ftp://example.com"}, "webhook", "https://"),
        ({"webhook": "http://127.1/"}, "webhook", "not a public address"),
        ({"webhook": "http://localhost:8000/"}, "webhook", "not a public address"),
        ({"webhook": "https://u:p@example.com/"}, "webhook", "password"),
        ({"webhook": "https://example.com/" + "x" * 2_000}, "webhook", "2000"),
        ({"webhook": ["https://example.com/"]}, "webhook", "string"),
        ({"webhook": HOOK, "webhook_events_filter": []}, "webhook_events_filter", "at least 1"),
        ({"webhook": HOOK, "webhook_events_filter": ["x"]}, "webhook_events_filter.0", "job."),
        ({"webhook_events_filter": ["job.failed"]}, "webhook_events_filter", "goes with webhook"),
    ],
)
def test_a_bad_webhook_is_refused_at_once(
    idle_api: TestClient, redis: Redis, change: dict[str, Any], param: str, says: str
) -> None:
    answer = idle_api.post("/v1/jobs", json=VALID_JOB | change)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, param)
    assert says in error["message"]
    assert redis.keys("tts:job:*") == []


def test_the_setting_says_where_webhooks_go(
    settings: Settings, redis: Redis, card: ModelCard
) -> None:
    sign_in(redis, card)
    for targets, url, status in (
        ("off", HOOK, 400),
        ("public", "http://10.0.0.1/", 400),
        ("any", "http://10.0.0.1/", 202),
    ):
        app = create_app(settings.model_copy(update={"webhook_targets": targets}))
        answer = TestClient(app).post("/v1/jobs", json=VALID_JOB | {"webhook": url})
        assert answer.status_code == status
        asyncio.run(app.state.services.close())


def test_json_forms_named_jobs_and_batches_have_webhooks(
    idle_api: TestClient, redis: Redis
) -> None:
    asked = {"webhook": HOOK, "webhook_events_filter": ["job.failed", "job.cancelled"]}
    form = {
        "task": "custom_voice",
        "voice": "vivian",
        "webhook": HOOK,
        "webhook_events_filter": json.dumps(asked["webhook_events_filter"]),
    }
    line = {"custom_id": "a", "method": "POST", "url": "/v1/jobs", "body": VALID_JOB | asked}
    sent = [
        idle_api.post("/v1/jobs", json=VALID_JOB | asked),
        idle_api.post("/v1/jobs", data=form, files={"file": ("a.txt", b"Hello there.")}),
        idle_api.put("/v1/jobs/mine", json=VALID_JOB | asked),
        idle_api.post("/v1/batches", content=json.dumps(line), headers=JSONL),
    ]
    assert [answer.status_code for answer in sent[:3]] == [202, 202, 202]
    assert sent[3].is_success
    for answer in sent[:3]:
        assert answer.json()["webhook"] == HOOK
        assert idle_api.get(answer.headers["Location"]).json()["webhook"] == HOOK
        idle_api.post(f"{answer.headers['Location']}/cancel")
    idle_api.post(f"/v1/batches/{sent[3].json()['id']}/cancel")
    events = queued_events(redis)
    assert [event["type"] for event in events] == ["job.cancelled"] * 4
    assert [event["url"] for event in events] == [HOOK] * 4
    assert events[2]["public_id"] == "mine"
    assert len({event["id"] for event in events}) == 4


def test_a_bad_webhook_in_a_batch_names_its_line(idle_api: TestClient, redis: Redis) -> None:
    bodies = [VALID_JOB, VALID_JOB | {"webhook": "http://[::1]/"}]
    lines = [{"custom_id": str(n), "body": body} for n, body in enumerate(bodies)]
    answer = idle_api.post("/v1/batches", content="\n".join(map(json.dumps, lines)), headers=JSONL)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "line 2: webhook")
    assert redis.keys("tts:job:*") == []


def end(ledger: Ledger, job: str, how: str) -> None:
    if how == "cancelled":
        ledger.cancel(job)
        return
    claim = ledger.claim("tiny-CustomVoice")
    assert claim
    if how == "failed":
        ledger.fail(claim, "synthesis_failed", "it would not")
        return
    join = ledger.commit(claim, SegmentResult(key="k", samples=24_000))
    assert join
    ledger.commit(join, SegmentResult(key="j", samples=24_000))


@pytest.mark.parametrize("how", ["completed", "failed", "cancelled"])
@pytest.mark.parametrize("wanted", [ALL, END_EVENTS, (EventType.IN_PROGRESS,)])
def test_each_change_is_an_event_once_if_it_is_wanted(
    ledger: Ledger, spec: SpeechSpec, redis: Redis, how: str, wanted: tuple[EventType, ...]
) -> None:
    ledger.admit("j1", spec, plain(["x"]), webhook=hook(*wanted))
    end(ledger, "j1", how)
    ledger.cancel("j1")
    happened = [f"job.{how}"] if how == "cancelled" else ["job.in_progress", f"job.{how}"]
    assert [event["type"] for event in queued_events(redis)] == [
        kind for kind in happened if kind in wanted
    ]


def test_a_job_without_a_webhook_or_withdrawn_tells_nobody(
    ledger: Ledger, spec: SpeechSpec, redis: Redis
) -> None:
    ledger.admit("j1", spec, plain(["x"]))
    end(ledger, "j1", "completed")
    ledger.admit("j2", spec, plain(["x"]), webhook=hook(*END_EVENTS))
    ledger.withdraw("j2")
    assert redis.keys("tts:webhook*") == []


def test_an_end_that_redis_forgot_is_the_same_event_again(
    ledger: Ledger, spec: SpeechSpec, redis: Redis
) -> None:
    ledger.admit("j1", spec, plain(["x"]), webhook=hook(*END_EVENTS))
    before = redis.hgetall("tts:job:j1")
    ledger.cancel("j1")
    first = queued_events(redis)[0]["id"]
    redis.delete(f"tts:webhook:{first}")
    redis.hset("tts:job:j1", "status", before["status"])
    ledger.cancel("j1")
    assert [event["id"] for event in queued_events(redis)] == [first]


def test_a_receiver_is_told_one_thing_at_a_time(
    ledger: Ledger, spec: SpeechSpec, redis: Redis
) -> None:
    events = Events(redis, lease_s=100)
    for name in ("j1", "j2"):
        ledger.admit(name, spec, plain(["x"]), webhook=hook(*END_EVENTS))
        ledger.cancel(name)
    ledger.admit("j3", spec, plain(["x"]), owner="ann", webhook=hook(*END_EVENTS))
    ledger.cancel("j3")
    first, other = events.take(), events.take()
    assert first
    assert other
    assert [first.job, other.job] == ["j1", "j3"]
    assert events.take() is None
    ledger.admit("j4", spec, plain(["x"]), webhook=hook(*END_EVENTS))
    ledger.cancel("j4")
    assert events.take() is None  # news is no reason to interrupt
    events.again(first, 50)
    events.done(other)
    second = events.take()
    assert second
    assert second.job == "j2"
    events.done(second)
    third = events.take()
    assert third
    assert third.job == "j4"  # the first waits, its receiver does not
    events.done(third)
    assert events.take() is None
    redis.zadd(redis.keys("tts:webhooks:*")[0], {first.id: 1})
    redis.zadd("tts:webhooks", {f"public {hook().receiver}": 1})
    again = events.take()
    assert again
    assert (again.id, again.attempt) == (first.id, 2)
    events.done(again)
    assert redis.keys("tts:webhook*") == []


def test_a_lease_that_ran_out_gives_the_event_to_another(
    ledger: Ledger, spec: SpeechSpec, redis: Redis
) -> None:
    events = Events(redis, lease_s=0.05)
    ledger.admit("j1", spec, plain(["x"]), webhook=hook(*END_EVENTS))
    ledger.cancel("j1")
    dead = events.take()
    assert dead
    assert events.take() is None
    deadline = time.monotonic() + 5
    while (living := events.take()) is None:
        assert time.monotonic() < deadline
    assert (living.id, living.attempt) == (dead.id, 2)
    events.again(dead, 1_000)  # it was no longer its own
    score = redis.zscore(f"tts:webhooks:{living.receiver}", living.id)
    assert score is not None
    assert score < time.time() + 100
    events.done(dead)  # but what is delivered is
    events.again(living, 0)
    wait_until(lambda: events.take() is None and redis.keys("tts:webhook*") == [])


def test_an_event_whose_record_was_deleted_is_passed_over(
    ledger: Ledger, spec: SpeechSpec, redis: Redis
) -> None:
    for name in ("j1", "j2"):
        ledger.admit(name, spec, plain(["x"]), webhook=hook(*END_EVENTS))
        ledger.cancel(name)
    redis.delete(f"tts:webhook:{queued_events(redis)[0]['id']}")
    taken = Events(redis, lease_s=10).take()
    assert taken
    assert taken.job == "j2"


def test_a_secret_stays_until_it_is_rotated(idle_api: TestClient, redis: Redis) -> None:
    first = idle_api.get(SECRET)
    assert first.headers["cache-control"] == "no-store"
    assert idle_api.get(SECRET, headers={"Authorization": "Bearer any"}).json() == first.json()
    second = idle_api.post(f"{SECRET}/rotate").json()
    assert idle_api.get(SECRET).json() == second != first.json()
    secrets = WebhookSecrets(redis)
    assert secrets.of("public") == [second["key"], first.json()["key"]]
    redis.zadd("tts:webhook_secrets:public", {first.json()["key"]: time.time() - 1})
    assert secrets.of("public") == [second["key"]]
    for _ in range(9):
        newest = secrets.rotate("public")[0]
    assert len(secrets.of("public")) == MAX_SECRETS_IN_USE
    assert secrets.of("public")[0] == newest


def test_tenants_have_secrets_of_their_own(idle_api: TestClient, redis: Redis) -> None:
    tokens = [ApiKeys(redis).create(name)[1] for name in ("ann", "ben")]
    asked = [{"Authorization": f"Bearer {token}"} for token in tokens]
    found = [idle_api.get(SECRET, headers=headers).json()["key"] for headers in asked]
    assert found[0] != found[1]
    assert idle_api.get(SECRET).status_code == 401
    answer = idle_api.post("/v1/jobs", json=VALID_JOB | {"webhook": HOOK}, headers=asked[1])
    idle_api.post(f"/v1/jobs/{answer.json()['id']}/cancel", headers=asked[1])
    (event,) = queued_events(redis)
    assert WebhookSecrets(redis).of(event["signer"]) == [found[1]]


def test_both_signatures_verify_and_no_other(redis: Redis) -> None:
    secrets = WebhookSecrets(redis)
    old, new = secrets.of("x")[0], secrets.rotate("x")[0]
    headers = signature_headers("evt_1", int(time.time()), b"{}", secrets.of("x"))
    for secret in (old, new):
        Verifier(secret).verify(b"{}", headers)
        with pytest.raises(WebhookVerificationError):
            Verifier(secret).verify(b"[]", headers)
    with pytest.raises(WebhookVerificationError):
        Verifier(secrets.of("y")[0]).verify(b"{}", headers)


def test_what_no_version_can_read_is_not_in_the_way_for_ever(
    ledger: Ledger, spec: SpeechSpec, redis: Redis
) -> None:
    events = Events(redis, lease_s=10)
    for name in ("j1", "j2"):
        ledger.admit(name, spec, plain(["x"]), webhook=hook(*END_EVENTS))
        ledger.cancel(name)
    first = queued_events(redis)[0]
    redis.hset(f"tts:webhook:{first['id']}", mapping={"type": "job.paused", "attempt": 9})
    with pytest.raises(ValidationError):
        events.take()
    taken = events.take()
    assert taken is not None
    assert taken.id != first["id"]
