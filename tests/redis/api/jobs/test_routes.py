"""The jobs API beyond submitting and polling: lists, ids of the client, deadlines, waiting."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from contextlib import ExitStack
from typing import Any, cast

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from redis import Redis

from shared.jobs import Priority, SegmentResult, SpeechSpec
from shared.settings import Settings
from shared.storage import Storage
from shared.store.ledger import Ledger
from shared.store.limits import Idempotency
from tests.support.plain_segments import id_of, plain
from tests.support.processes import wait_until
from tests.support.valid_job import VALID_JOB


def submit(api: TestClient, **change: Any) -> str:
    answer = api.post("/v1/jobs", json=VALID_JOB | change)
    assert answer.status_code == 202
    job_id: str = answer.json()["id"]
    return job_id


def pages(api: TestClient, **query: Any) -> list[list[str]]:
    found, after = [], None
    while True:
        params = query | ({"after": after} if after else {})
        page = api.get("/v1/jobs", params=params).json()
        found.append([job["id"] for job in page["data"]])
        assert page["first_id"] == (found[-1][0] if found[-1] else None)
        if not page["has_more"]:
            return found
        after = page["last_id"]


def test_the_answer_to_a_submit_is_what_a_poll_returns(
    api: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if this machine's clock is an hour wrong: Redis keeps the time."""
    now_s = time.time
    monkeypatch.setattr(time, "time", lambda: now_s() + 3_600)
    texts = VALID_JOB | {
        "input": "# One\n\nShe fell.",
        "input_format": "markdown",
        "priority": "low",
    }
    for send, url in ((api.post, "/v1/jobs"), (api.put, "/v1/jobs/book-1")):
        headers = {"Cancel-After": "100", "Idempotency-Key": "once"} if "book" not in url else {}
        submitted = send(url, json=texts | {"metadata": {"a": "b"}}, headers=headers).json()
        polled = api.get(submitted["links"]["self"]).json()
        assert abs(polled["created_at"] - now_s()) < 60
        assert polled["queue_position"] is not None  # which is known once it is polled
        assert submitted == polled | {"queue_position": None, "eta_s": None}


def test_jobs_are_listed_page_by_page(api: TestClient) -> None:
    ids = [submit(api) for _ in range(5)]
    assert pages(api, limit=2) == [ids[:2:-1], ids[2:0:-1], ids[:1]]
    assert pages(api, limit=2, order="asc") == [ids[:2], ids[2:4], ids[4:]]
    assert pages(api, limit=5) == [ids[::-1]]
    assert api.get("/v1/jobs", params={"limit": 0}).status_code == 400
    assert api.get("/v1/jobs", params={"after": "nobody"}).status_code == 404


def test_a_list_is_filtered(api: TestClient) -> None:
    a = submit(api, metadata={"book": "alice"})
    b = submit(api, metadata={"book": "emma", "part": "2"})
    api.post(f"/v1/jobs/{a}/cancel")
    assert pages(api, status="cancelled") == [[a]]
    assert pages(api, status=["queued", "cancelled"]) == [[b, a]]
    assert pages(api, **{"metadata[book]": "emma", "metadata[part]": "2"}) == [[b]]
    assert pages(api, **{"metadata[book]": "alice", "metadata[part]": "2"}) == [[]]
    assert pages(api, task="voice_clone") == [[]]
    assert pages(api, model="tiny-CustomVoice") == [[b, a]]


def test_whoever_deletes_while_listing_misses_nothing(api: TestClient) -> None:
    ids = [submit(api) for _ in range(4)]
    page = api.get("/v1/jobs", params={"limit": 2}).json()
    for job in page["data"]:
        assert api.delete(f"/v1/jobs/{job['id']}").json()["deleted"] is True
    rest = api.get("/v1/jobs", params={"after": page["last_id"]}).json()
    assert [job["id"] for job in rest["data"]] == ids[1::-1]


def test_a_deleted_job_leaves_nothing(api: TestClient, ledger: Ledger, tmp_path: Any) -> None:
    job_id = submit(api)
    storage = Storage.open((tmp_path / "results").as_uri())
    storage.put(f"jobs/{job_id}/segments/0.wav", b"speech")
    assert api.delete(f"/v1/jobs/{job_id}").json() == {
        "id": job_id,
        "object": "job.deleted",
        "deleted": True,
    }
    assert api.get(f"/v1/jobs/{job_id}").status_code == 404
    assert api.delete(f"/v1/jobs/{job_id}").status_code == 404
    assert ledger.claim("tiny-CustomVoice") is None
    assert not (tmp_path / "results/jobs" / job_id).exists()


def test_a_client_may_give_a_job_its_id(api: TestClient) -> None:
    job = api.put("/v1/jobs/chapter-1", json=VALID_JOB).json()
    assert (job["id"], job["links"]["self"]) == ("chapter-1", "/v1/jobs/chapter-1")
    assert api.put("/v1/jobs/chapter-1", json=VALID_JOB).json()["created_at"] == job["created_at"]
    assert api.put("/v1/jobs/chapter-1", json=VALID_JOB | {"seed": 1}).status_code == 409
    assert pages(api, limit=1) == [["chapter-1"]]
    other = submit(api)
    assert pages(api, limit=1) == [[other], ["chapter-1"]]
    assert api.post("/v1/jobs/chapter-1/cancel").json()["status"] == "cancelled"
    assert api.delete("/v1/jobs/chapter-1").status_code == 200
    assert api.put("/v1/jobs/chapter-1", json=VALID_JOB | {"seed": 1}).status_code == 202


@pytest.mark.parametrize("name", ["job_1", "a b", "a.b", "x" * 65, "%00", "..%2Fx"])
def test_not_every_id_will_do(api: TestClient, name: str) -> None:
    assert api.put(f"/v1/jobs/{name}", json=VALID_JOB).status_code in (400, 404)


def test_waiting_ends_with_the_job_or_the_time(api: TestClient) -> None:
    job_id = submit(api)
    begun = time.monotonic()
    waited = api.get(f"/v1/jobs/{job_id}", headers={"Prefer": "respond-async, wait=1"})
    assert time.monotonic() - begun >= 0.9
    assert (waited.json()["status"], waited.headers["Preference-Applied"]) == ("queued", "wait=1")
    assert int(waited.headers["openai-poll-after-ms"]) >= 200
    cancel = threading.Timer(0.3, lambda: api.post(f"/v1/jobs/{job_id}/cancel"))
    cancel.start()
    ended = api.get(f"/v1/jobs/{job_id}", headers={"Prefer": "wait=60"})
    cancel.join()
    assert ended.json()["status"] == "cancelled"
    assert "openai-poll-after-ms" not in ended.headers
    assert time.monotonic() - begun < 20


def test_not_everybody_can_wait_at_once(api: TestClient, settings: Settings) -> None:
    job_id = submit(api)
    limit = cast(FastAPI, api.app).state.services.listener_limit
    with ExitStack() as listeners:
        for _ in range(settings.max_listeners):
            listeners.enter_context(limit.listening(None))
        begun = time.monotonic()
        answer = api.get(f"/v1/jobs/{job_id}", headers={"Prefer": "wait=30"})
        assert time.monotonic() - begun < 5
    assert answer.json()["status"] == "queued"


def test_workers_cancel_what_is_past_its_deadline(
    api: TestClient, ledger: Ledger, redis: Redis
) -> None:
    answer = api.post("/v1/jobs", json=VALID_JOB, headers={"Cancel-After": "1s"}).json()
    assert answer["cancel_at"] >= answer["created_at"]
    lasting = submit(api)
    job = f"tts:job:{answer['id']}"

    def cancelled() -> bool:
        redis.delete("tts:reconciled_at")
        ledger.reconcile()
        return redis.hget(job, "status") == "cancelled"

    wait_until(cancelled)
    told = api.get(f"/v1/jobs/{answer['id']}").json()
    assert told["error"]["code"] == "deadline_passed"
    assert api.get(f"/v1/jobs/{lasting}").json()["status"] == "queued"


def test_a_deadline_holds_without_workers(api: TestClient) -> None:
    url = api.post("/v1/jobs", json=VALID_JOB, headers={"Cancel-After": "1s"}).json()["links"][
        "self"
    ]
    wait_until(lambda: api.get(url).json()["status"] == "cancelled")


@pytest.mark.parametrize("text", ["", "soon", "-5s", "0s", "5 weeks", "1e9", "99999999h"])
def test_a_deadline_has_to_be_a_time(api: TestClient, text: str) -> None:
    answer = api.post("/v1/jobs", json=VALID_JOB, headers={"Cancel-After": text})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "Cancel-After")


def test_the_place_in_the_queue_is_told(api: TestClient, ledger: Ledger) -> None:
    ids = [submit(api) for _ in range(3)]
    seen = [api.get(f"/v1/jobs/{job_id}").json()["queue_position"] for job_id in ids]
    assert seen == [1, 2, 3]
    assert ledger.claim("tiny-CustomVoice") is not None
    seen = [api.get(f"/v1/jobs/{job_id}").json()["queue_position"] for job_id in ids]
    assert seen == [None, 1, 2]


def test_owners_share_the_places(ledger: Ledger, spec: SpeechSpec) -> None:
    for name, owner in (("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b")):
        ledger.admit(name, spec, plain(["x" * 10]), owner=owner)
    places = {name: ledger.job(name).queue_position for name in ("a1", "a2", "a3", "b1")}
    assert places == {"a1": 1, "b1": 2, "a2": 3, "a3": 4}


def test_an_urgent_job_has_more_turns(ledger: Ledger, spec: SpeechSpec) -> None:
    for name, priority in (("low", Priority.LOW), ("mid", Priority.NORMAL), ("top", Priority.HIGH)):
        ledger.admit(name, spec, plain(["x" * 10] * 40), priority=priority)
    given = [ledger.claim(spec.model) for _ in range(42)]
    counts = Counter(claim.job_id for claim in given if claim is not None)
    assert 0 < counts["low"] < counts["mid"] < counts["top"]
    assert counts["top"] == pytest.approx(4 * counts["mid"], abs=4)


def test_the_queue_is_counted(api: TestClient, ledger: Ledger) -> None:
    for _ in range(3):
        submit(api, input="One.\n\nTwo.")
    claim = ledger.claim("tiny-CustomVoice")
    assert claim is not None
    ledger.commit(claim, SegmentResult(key="k", samples=24_000 * 6))
    assert ledger.claim("tiny-CustomVoice") is not None
    queue = api.get("/v1/queue").json()
    open_segments = queue["segments"]["queued"] + 2
    assert queue["segments"]["in_progress"] == 1
    assert queue["workers"] == 3
    assert queue["jobs"] == {"queued": 2, "in_progress": 1}
    assert {model["id"]: model["queued"] for model in queue["models"]} == {
        "tiny-CustomVoice": open_segments - 2,
        "d": 0,
        "b": 0,
    }
    assert queue["segments_per_minute"] == 1.0
    assert queue["audio_seconds_per_second"] == 0.1


def test_what_was_spoken_is_not_given_back(ledger: Ledger, spec: SpeechSpec, redis: Redis) -> None:
    once = Idempotency("key:x", "print")
    ledger.admit("a", spec, plain(["one"]), owner="me", idempotency=once)
    claim = ledger.claim(spec.model)
    assert claim is not None
    join = ledger.commit(claim, SegmentResult(key="k", samples=480))
    assert join is not None
    ledger.commit(join, SegmentResult(key="k", samples=480))
    assert ledger.withdraw("a") is False
    (used,) = redis.keys("tts:used:*:me")
    assert redis.hget(used, "chars") == "20"
    assert id_of(ledger.admit("b", spec, plain(["one"]), owner="me", idempotency=once)) == "a"
    ledger.admit("c", spec, plain(["four"]), owner="me")
    assert ledger.withdraw("c") is True
    assert redis.hget(used, "chars") == "20"


def test_the_last_listener_takes_the_job_along(
    ledger: Ledger, spec: SpeechSpec, redis: Redis
) -> None:
    ledger.admit("a", spec, plain(["one"]))
    ledger.add_listener("a")
    ledger.add_listener("a")
    assert ledger.cancel_if_abandoned("a") is False
    assert ledger.job("a").status == "queued"
    (used,) = redis.keys("tts:used:*")
    assert ledger.cancel_if_abandoned("a") is True
    assert ledger.job("a").status == "cancelled"
    assert redis.hget(used, "chars") == "20"  # some of it was heard
    assert ledger.cancel_if_abandoned("a") is False


def test_a_header_cannot_take_the_name_of_a_job(api: TestClient) -> None:
    for key in ("PUT x", "name:x", "key:x"):
        api.post("/v1/jobs", json=VALID_JOB, headers={"Idempotency-Key": key})
    assert api.get("/v1/jobs/x").status_code == 404
    assert api.put("/v1/jobs/x", json=VALID_JOB | {"seed": 1}).status_code == 202


@pytest.mark.parametrize(
    "newer",
    [
        {"status": "dreaming"},
        {"priority": "urgent"},
        {"spec": {"task": "sing"}},
        {"spec": {"response_format": "hologram"}},
        {"spec": {"sampling": {"mood": 7}}},
        {"spec": {"reference": {"melody": "x"}, "task": "sing"}},
    ],
)
def test_a_job_of_a_newer_version_is_shown_and_can_be_ended(
    api: TestClient, redis: Redis, newer: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    job_id, other = submit(api, metadata={"patient": "Smith"}), submit(api)
    for field, value in newer.items():
        if isinstance(value, dict):
            written = json.loads(str(redis.hget(f"tts:job:{job_id}", field)))
            value = json.dumps(written | value)
        redis.hset(f"tts:job:{job_id}", field, value)
    polled = api.get(f"/v1/jobs/{job_id}")
    assert polled.status_code == 200, polled.text
    assert polled.json()["status"] in ("queued", "in_progress")
    assert polled.json()["task"] == newer.get("spec", {}).get("task", "custom_voice")
    assert pages(api, limit=5) == [[other, job_id]]
    assert ("of a newer version" in caplog.text) == ("spec" in newer)
    assert "Smith" not in caplog.text
    redis.hset(f"tts:job:{job_id}", "result_key", "jobs/x/1/audio.wav")
    if "status" not in newer:
        before = str(redis.hget(f"tts:job:{job_id}", "status"))
        redis.hset(f"tts:job:{job_id}", "status", "completed")
        assert api.get(f"/v1/jobs/{job_id}").status_code == 200
        assert api.get(f"/v1/jobs/{job_id}/content").status_code == 503
        redis.hset(f"tts:job:{job_id}", "status", before)
    if "status" in newer:  # what may become of it, only the newer version knows
        assert api.delete(f"/v1/jobs/{job_id}").status_code == 503
        redis.hset(f"tts:job:{job_id}", "status", "queued")
    assert api.delete(f"/v1/jobs/{job_id}").status_code == 200
    assert api.get(f"/v1/jobs/{job_id}").status_code == 404
