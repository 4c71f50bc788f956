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
