"""Operators' routes: the scope, jobs, queues, workers, webhooks, owners, the audit, the check."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest
from fastapi.testclient import TestClient
from redis import Redis

from api.admin import jobs as job_routes
from api.app import create_app
from shared.jobs import SpeechSpec
from shared.models import ModelCard
from shared.settings import Settings
from shared.store.api_keys import DEFAULT_SCOPES, ApiKeys, Scope
from shared.store.ledger import Ledger
from shared.store.live_workers import LiveWorkers
from shared.store.segment_facts import SegmentFacts, running_segments
from shared.store.webhooks import Events, EventType, Webhook
from shared.store.workers import WorkerRegistry
from tests.support.api_key_header import bearer
from tests.support.claims import claim
from tests.support.plain_segments import plain
from tests.support.valid_job import VALID_JOB
from worker.presence import Presence, describe

MODEL = "tiny-CustomVoice"
HOOK = Webhook(url="https://a.example/", receiver="https://a.example", events=tuple(EventType))


@pytest.fixture
def ledger(redis: Redis) -> Ledger:
    return Ledger(redis, lease_s=60, max_attempts=3, worker="w")


@pytest.fixture
def presence(redis: Redis, settings: Settings, card: ModelCard) -> Presence:
    """The worker `w`, which has signed in."""
    WorkerRegistry(redis).sign_in("w", card)
    workers = LiveWorkers(redis)
    presence = Presence(describe("w", settings, [card]), workers, loaded=lambda: [card.id])
    presence.announce()
    return presence


def submit(api: TestClient, **fields: Any) -> str:
    return str(api.post("/v1/jobs", json=VALID_JOB | fields).json()["id"])


def failed_job(api: TestClient, ledger: Ledger) -> str:
    """A job of a segment that failed."""
    job = submit(api)
    ledger.fail(claim(ledger, f"{job}:0"), "synthesis_failed", "ValueError: poisoned")
    return job


def queue_of(api: TestClient) -> dict[str, Any]:
    found = api.get("/v1/admin/queues").json()["data"]
    return next(each for each in found if each["id"] == MODEL)


def audit(api: TestClient) -> list[tuple[str, str, str]]:
    found = api.get("/v1/admin/audit").json()["data"]
    return [(each["action"], each["target"], each["outcome"]) for each in found]


def test_only_a_key_with_the_scope_operates(api: TestClient, keys: ApiKeys, redis: Redis) -> None:
    assert api.get("/v1/admin/overview").status_code == 200  # without keys: this machine's user
    _, plain_token = keys.create("phone")
    operator, token = keys.create("ops", scopes=(*DEFAULT_SCOPES, Scope.ADMIN))
    refused = api.get("/v1/admin/overview", headers=bearer(plain_token))
    assert refused.status_code == 403
    assert "'admin'" in refused.json()["error"]["message"]
    assert api.get("/v1/admin/overview").status_code == 401
    assert api.get("/v1/admin/overview", headers=bearer(token)).status_code == 200
    assert api.get("/v1/jobs", headers=bearer(token)).status_code == 200
    # A version before this one reads `scopes`, and knows three.
    scraper, _ = keys.create("prometheus", scopes=(Scope.METRICS,))
    kept = redis.hgetall("tts:keys")
    assert json.loads(kept[operator.id])["scopes"] == list(DEFAULT_SCOPES)
    assert json.loads(kept[scraper.id])["scopes"] == []


def test_a_server_that_is_open_to_all_has_no_operator(settings: Settings, redis: Redis) -> None:
    redis.flushall()
    with TestClient(create_app(settings.model_copy(update={"auth": "open"}))) as api:
        assert api.get("/v1/jobs").status_code == 200
        refused = api.get("/v1/admin/overview")
        assert refused.status_code == 403
        assert "narrate keys create" in refused.json()["error"]["message"]


def test_a_failed_job_is_found_and_its_segment_retried(
    api: TestClient, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    job = failed_job(api, ledger)
    submit(api, input="Another one.")
    (found,) = api.get("/v1/admin/jobs", params={"status": "failed"}).json()["data"]
    assert found["error"] == {"code": "synthesis_failed", "message": "ValueError: poisoned"}
    segment = found["failed_segment"]
    assert (found["id"], segment["segment"], segment["attempts"]) == (job, "0", 1)
    assert segment["text"] == VALID_JOB["input"]
    for kept, params in ((1, {"code": "synthesis_failed"}), (0, {"code": "worker_lost"})):
        assert len(api.get("/v1/admin/jobs", params=params).json()["data"]) == kept
    assert api.get("/v1/admin/jobs", params={"owner": "nobody"}).json()["data"] == []
    with caplog.at_level(logging.INFO):
        again = api.post(f"/v1/admin/jobs/{job}/retry").json()
    assert (again["status"], again["retries"], again["error"]) == ("queued", 1, None)
    assert api.post(f"/v1/admin/jobs/{job}/retry").json()["retries"] == 1
    api.post(f"/v1/admin/jobs/{job}/cancel")
    refused = api.post(f"/v1/admin/jobs/{job}/retry")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "not_retriable")
    assert api.post("/v1/admin/jobs/job_x/retry").status_code == 404
    assert audit(api) == [
        ("retry", "job_x", "job_not_found"),
        ("retry", job, "not_retriable"),
        ("cancel", job, "done"),
        ("retry", job, "done"),
        ("retry", job, "done"),
    ]
    assert f"action=admin.retry target={job} outcome=done" in caplog.text
    newest, *others = api.get("/v1/admin/audit").json()["data"]
    page = api.get("/v1/admin/audit", params={"before": newest["id"]}).json()["data"]
    assert page == others


@pytest.mark.parametrize(
    ("before", "status"),
    [
        ("0-0", 200),
        (f"{2**64 - 1}-{2**64 - 1}", 200),
        (f"{2**64}-0", 400),
        (f"1-{2**64}", 400),
        ("1", 400),
        ("0-0\n", 400),
        ("+", 400),
    ],
)
def test_a_cursor_of_the_audit_may_be_any_text(api: TestClient, before: str, status: int) -> None:
    api.post("/v1/admin/jobs/job_x/retry")
    answer = api.get("/v1/admin/audit", params={"before": before})
    assert answer.status_code == status, answer.text
    if status == 200:
        assert len(answer.json()["data"]) == (before != "0-0")
    else:
        assert answer.json()["error"]["param"] == "before"


def test_a_page_of_jobs_follows_another(api: TestClient) -> None:
    jobs = [submit(api, input=f"Number {n}.") for n in range(3)]
    page = api.get("/v1/admin/jobs", params={"limit": 2}).json()
    assert [each["id"] for each in page["data"]] == [jobs[2], jobs[1]]
    after = {"limit": 2, "after": page["last_id"]}
    assert [each["id"] for each in api.get("/v1/admin/jobs", params=after).json()["data"]] == [
        jobs[0]
    ]


def test_an_operator_sees_why_a_job_waits(
    api: TestClient, ledger: Ledger, presence: Presence
) -> None:
    assert not presence.is_drained
    job = submit(api)
    assert api.get(f"/v1/admin/jobs/{job}").json()["why"] == [
        "it waits for a free slot: see the queues and the workers"
    ]
    api.post(f"/v1/admin/queues/{MODEL}/pause")
    api.post("/v1/admin/workers/w/drain")
    why = api.get(f"/v1/admin/jobs/{job}").json()["why"]
    assert why[0].startswith(f"{MODEL} is paused")
    assert why[1].startswith(f"every worker of {MODEL} is drained")
    api.post(f"/v1/admin/queues/{MODEL}/resume")
    api.post("/v1/admin/workers/w/resume")
    claim(ledger, f"{job}:0")
    details = api.get(f"/v1/admin/jobs/{job}").json()
    assert details["why"] == ["w has worked on segment 0 for 0 s"]
    assert [each["worker"] for each in details["running"]] == ["w"]


def test_the_history_of_another_owners_job_is_shown(
    api: TestClient, ledger: Ledger, keys: ApiKeys, spec: SpeechSpec
) -> None:
    operator = bearer(keys.create("ops", owner="ops", scopes=(Scope.ADMIN,))[1])
    ledger.admit("j", spec, plain(["one"]), owner="ann")
    path = "/v1/admin/jobs/j/history"
    found = api.get(path, headers=operator).json()
    assert found["recorded"]
    assert found["data"][0]["event"] == "accepted"
    rest = api.get(path, params={"after": found["next"]}, headers=operator).json()
    assert (rest["data"], rest["next"]) == ([], found["next"])
    assert api.get(path.replace("/j/", "/k/"), headers=operator).status_code == 404
    assert api.get("/v1/jobs/j/history", headers=operator).status_code == 403


def test_a_model_is_paused_resumed_and_purged(api: TestClient, ledger: Ledger) -> None:
    begun, *waiting = [submit(api, input=f"Number {n}. And more.") for n in range(3)]
    claim(ledger, f"{begun}:0")
    assert api.post("/v1/admin/queues/tiny/pause").json()["id"] == MODEL  # a short name
    assert api.get(f"/v1/jobs/{waiting[0]}").json()["paused"]
    assert ledger.claim(MODEL) is None
    queue = queue_of(api)
    assert (queue["waiting"], queue["running"]) == (2, 1)
    assert queue["waiting_by_priority"] == {"high": 0, "normal": 2, "low": 0}
    assert queue["paused_since"] is not None
    done = api.post(f"/v1/admin/queues/{MODEL}/purge").json()
    assert (done["cancelled"], done["left"]) == (2, 0)
    assert {ledger.job(each).status for each in waiting} == {"cancelled"}
    assert ledger.job(begun).status == "in_progress"
    api.post(f"/v1/admin/queues/{MODEL}/resume")
    assert queue_of(api)["paused_since"] is None
    assert api.post(f"/v1/admin/queues/{MODEL}/resume").json()["action"] == "resume"
    for change in ("pause", "resume", "purge"):
        refused = api.post(f"/v1/admin/queues/none/{change}")
        assert (refused.status_code, refused.json()["error"]["code"]) == (404, "model_not_found")


def test_a_worker_is_shown_and_drained(api: TestClient, ledger: Ledger, presence: Presence) -> None:
    job = submit(api)
    claim(ledger, f"{job}:0")
    presence.note_speech(3.0)
    presence.announce()
    workers = api.get("/v1/admin/workers").json()["data"]
    (worker,) = (each for each in workers if each["id"] == "w")
    assert (worker["state"], worker["info"]["models"]) == ("working", [MODEL])
    assert worker["info"]["audio_s_per_s"] == 0.05
    assert worker["running"][0]["job"] == job
    submit(api, input="Another one.")
    assert api.post("/v1/admin/workers/w/drain").json()["since"] > 0
    presence.announce()
    assert presence.is_drained
    assert ledger.claim(MODEL) is None
    assert Ledger(ledger._redis, lease_s=9, max_attempts=3, worker="v").claim(MODEL)
    api.post("/v1/admin/workers/w/resume")
    presence.announce()
    assert not presence.is_drained
    assert api.post("/v1/admin/workers/w/resume").json()["action"] == "resume"
    for change in ("drain", "resume"):
        refused = api.post(f"/v1/admin/workers/nobody/{change}")
        assert (refused.status_code, refused.json()["error"]["code"]) == (404, "worker_not_found")
    presence.withdraw()
    assert api.post("/v1/admin/workers/w/drain").status_code == 404


def test_a_running_segment_is_requeued(api: TestClient, ledger: Ledger) -> None:
    job = submit(api)
    held = claim(ledger, f"{job}:0")
    path = f"/v1/admin/jobs/{job}/requeue"
    assert api.post(path).json()["segments"] == ["0"]
    assert ledger.renew([held]) == [held]
    assert api.post(path).json()["error"]["code"] == "not_running"
    claim(ledger, f"{job}:0")
    assert api.post(path, params={"segment": "0"}).json()["segments"] == ["0"]


def test_a_segment_that_ends_meanwhile_keeps_no_other_from_being_requeued(
    api: TestClient, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submit(api, input="One. [pause 1s] Two.")
    first, _second = claim(ledger, f"{job}:0"), claim(ledger, f"{job}:1")

    def read_then_release(redis: Redis, job_id: str) -> list[SegmentFacts]:
        found = running_segments(redis, job_id)
        ledger.release(first)
        return found

    monkeypatch.setattr(job_routes, "running_segments", read_then_release)
    assert api.post(f"/v1/admin/jobs/{job}/requeue").json()["segments"] == ["1"]


def test_a_priority_is_changed(api: TestClient, ledger: Ledger) -> None:
    job = submit(api)
    path = f"/v1/admin/jobs/{job}/priority"
    assert api.post(path, params={"priority": "high"}).json()["priority"] == "high"
    assert ledger.job(job).priority == "high"
    queue = queue_of(api)
    assert queue["waiting_by_priority"]["high"] == 1
    assert api.post(path, params={"priority": "highest"}).status_code == 400


def test_webhooks_of_all_owners_are_sent_again(
    settings: Settings, ledger: Ledger, redis: Redis, spec: SpeechSpec
) -> None:
    app = create_app(settings)
    api = TestClient(app)  # not started, so that it delivers nothing itself
    ledger.admit("j", spec, plain(["one"]), owner="ann", webhook=HOOK)
    ledger.cancel("j")
    events = Events(redis, lease_s=60)
    event = events.take()
    assert event is not None
    events.give_up(event, "no answer")
    found = api.get("/v1/admin/webhooks/failed").json()["data"]
    assert [(each["reason"], each["owner"]) for each in found] == [("no answer", "public")]
    assert api.get("/v1/admin/overview").json()["failed_webhooks"] == 1
    path = f"/v1/admin/webhooks/failed/{found[0]['id']}/resend"
    assert api.post(path).status_code == 202
    assert api.get("/v1/admin/webhooks/failed").json()["data"] == []
    assert api.post(path.replace("evt_", "evt_0")).status_code == 404
    asyncio.run(app.state.services.close())


def test_the_usage_of_each_owner_is_shown(
    api: TestClient, ledger: Ledger, keys: ApiKeys, spec: SpeechSpec
) -> None:
    _, token = keys.create("ops", owner="ops", scopes=(Scope.ADMIN,))
    ledger.admit("j", spec, plain(["one"]), owner="ann")
    found = {
        each["owner"]: each
        for each in api.get("/v1/admin/owners", headers=bearer(token)).json()["data"]
    }
    assert found["ann"]["open_jobs"] == 1
    assert found["ann"]["chars"] > 0
    assert found["ops"]["open_jobs"] == 0
    assert found["ops"]["keys"][0].endswith("(ops)")
    assert found["ops"]["limits"]["owner_jobs"] > 0


def test_a_model_is_forgotten(api: TestClient, redis: Redis, card: ModelCard) -> None:
    gone = card.model_copy(update={"id": "folder/gone"})
    WorkerRegistry(redis).sign_in("v", gone)
    assert api.delete("/v1/admin/models/folder/gone").json()["error"]["code"] == "model_in_use"
    WorkerRegistry(redis).sign_out("v", gone)
    assert api.delete("/v1/admin/models/folder/gone").json()["action"] == "forget"
    assert api.delete("/v1/admin/models/folder/gone").status_code == 404


def test_the_configuration_is_checked(api: TestClient) -> None:
    found = api.get("/v1/admin/check").json()
    parts = {each["name"]: each for each in found["data"]}
    assert found["ok"], found
    assert list(parts) == ["redis", "memory", "clock", "storage", "keys", "workers", "models"]
    assert "answers this machine only" in parts["keys"]["says"]


def test_another_ledger_is_named(api: TestClient) -> None:
    assert api.get("/v1/admin/overview", params={"ledger": "first"}).status_code == 200
    refused = api.get("/v1/admin/overview", params={"ledger": "none"})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "ledger")
