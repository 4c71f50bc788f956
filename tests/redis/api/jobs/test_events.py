"""A job's progress as it happens."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

from fastapi.testclient import TestClient
from redis import Redis

from shared.jobs import SegmentResult
from shared.store.ledger import Ledger
from tests.support.valid_job import VALID_JOB

TWO = VALID_JOB | {"input": "One.\n\nTwo."}
DONE = SegmentResult(key="k", samples=12_000)


def read(api: TestClient, job: dict[str, Any], seen: str | None = None) -> list[tuple[str, Any]]:
    """Every event until the end: its id, and the job in it."""
    headers = {"Last-Event-ID": seen} if seen else {}
    answer = api.get(job["links"]["events"], headers=headers)
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [
        dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        for block in answer.text.split("\n\n")
        if "data: " in block
    ]
    bodies = [json.loads(event["data"]) for event in events]
    assert [event["event"] for event in events] == [body["status"] for body in bodies]
    return [(event["id"], body) for event, body in zip(events, bodies, strict=True)]


def speak(ledger: Ledger, wait_s: float) -> None:
    """Speak a job's segments one after the other, and join them."""
    claim = None
    while claim := claim or ledger.claim("tiny-CustomVoice"):
        time.sleep(wait_s)
        claim = ledger.commit(claim, DONE)


def test_events_tell_what_happens_until_the_end(api: TestClient, redis: Redis) -> None:
    job = api.post("/v1/jobs", json=TWO).json()
    ledger = Ledger(redis, lease_s=10, max_attempts=3)
    speaker = threading.Thread(target=speak, args=[ledger, 1.5])
    speaker.start()
    events = read(api, job)
    speaker.join()
    assert [body["segments"]["completed"] for _, body in events][-3:] == [1, 2, 2]
    assert [body["status"] for _, body in events][-2:] == ["in_progress", "completed"]
    half = next(body for _, body in events if body["segments"]["completed"] == 1)
    assert 1 < half["eta_s"] < 4
    assert events[-1][1]["eta_s"] is None
    assert len({mark for mark, _ in events}) == len(events)


def test_who_comes_back_is_told_only_what_is_new(api: TestClient, redis: Redis) -> None:
    job = api.post("/v1/jobs", json=TWO).json()
    ledger = Ledger(redis, lease_s=10, max_attempts=3)
    claim = ledger.claim("tiny-CustomVoice")
    assert claim is not None
    ledger.commit(claim, DONE)
    speaker = threading.Timer(1, speak, [ledger, 0])
    speaker.start()
    events = read(api, job, seen="1-in_progress")
    speaker.join()
    assert [body["segments"]["completed"] for _, body in events] == [2]
    last, _ = events[-1]
    assert read(api, job, seen=last) == []
    assert [mark for mark, _ in read(api, job, seen="nonsense")] == [last]


def test_a_job_that_expires_ends_its_events(api: TestClient, redis: Redis) -> None:
    job = api.post("/v1/jobs", json=TWO).json()
    threading.Timer(0.7, redis.flushall).start()
    assert [body["status"] for _, body in read(api, job)] == ["queued"]


def test_there_are_no_events_of_a_job_that_is_not_there(api: TestClient) -> None:
    answer = api.get("/v1/jobs/nobody/events")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "job_not_found")


def ended(api: TestClient, redis: Redis) -> dict[str, Any]:
    job = api.post("/v1/jobs", json=TWO).json()
    speak(Ledger(redis, lease_s=10, max_attempts=3), 0)
    return job


def test_a_browser_that_has_had_the_last_event_is_told_to_stop(
    api: TestClient, redis: Redis
) -> None:
    job = ended(api, redis)
    url = job["links"]["events"]
    ((last, _),) = read(api, job)
    again = api.get(url, headers={"Last-Event-ID": last})
    assert (again.status_code, again.content) == (204, b"")
    for seen in ("", "1-in_progress", f"{last} ", "nonsense"):
        assert api.get(url, headers={"Last-Event-ID": seen}).status_code == 200, seen
    cancelled = api.post("/v1/jobs", json=TWO).json()
    api.post(f"/v1/jobs/{cancelled['id']}/cancel")
    ((last, body),) = read(api, cancelled)
    assert body["status"] == "cancelled"
    url = cancelled["links"]["events"] + "?events=message"
    assert api.get(url, headers={"Last-Event-ID": last}).status_code == 204
    assert api.get(job["links"]["events"], headers={"Last-Event-ID": last}).status_code == 200


def test_events_without_names_have_their_type_in_the_data(api: TestClient, redis: Redis) -> None:
    job = ended(api, redis)
    answer = api.get(f"{job['links']['events']}?events=message")
    lines = [line.partition(": ") for line in answer.text.splitlines() if ": " in line]
    assert [name for name, _, _ in lines] == ["data", "id"]
    data = {name: value for name, _, value in lines}
    body = json.loads(data["data"])
    ((last, expected),) = read(api, job)
    assert data["id"] == last
    assert body == {"type": "job.completed", **expected}
    refused = api.get(f"{job['links']['events']}?events=all")
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "events")
