"""HEAD on every route that has a GET."""

from __future__ import annotations

import json
import re

import httpx2
import pytest
from fastapi.testclient import TestClient
from redis import Redis

from api.app import create_app
from shared.settings import Settings
from tests.support.finished_job import finish
from tests.support.live_server import serving
from tests.support.valid_job import VALID_JOB

# Differ from one answer to the next.
VARYING = {"x-request-id", "openai-poll-after-ms", "date"}
OTHERS = ("/", "/docs", "/openapi.json", "/static/main.js", "/static/limits.json", "/health")


def paths() -> list[str]:
    described = create_app(Settings()).openapi()["paths"]
    return [*(path for path, operations in described.items() if "get" in operations), *OTHERS]


@pytest.mark.parametrize("path", paths())
def test_each_get_has_a_head_with_the_same_headers(api: TestClient, path: str) -> None:
    job = api.post("/v1/jobs", json=VALID_JOB).json()["id"]
    api.post(f"/v1/jobs/{job}/cancel")
    line = json.dumps({"custom_id": "a", "url": "/v1/jobs", "body": VALID_JOB})
    batch = api.post("/v1/batches", content=line, headers={"Content-Type": "application/jsonl"})
    found = {"job_id": job, "voice_id": "vivian", "model_id": "tiny-CustomVoice", "number": "1"}
    found["batch_id"] = batch.json()["id"]
    url = re.sub(r"{(\w+)}", lambda name: found.get(name[1], "none"), path)
    got, asked = api.get(url), api.head(url)
    assert asked.content == b""
    assert asked.status_code == got.status_code
    # Each scrape counts the requests before it, so that it is longer.
    varying = VARYING | ({"content-length"} if path == "/metrics" else set())
    assert {name: value for name, value in asked.headers.items() if name not in varying} == {
        name: value for name, value in got.headers.items() if name not in varying
    }
    assert asked.headers["x-request-id"]


def test_the_results_of_a_job_have_heads(api: TestClient, redis: Redis, settings: Settings) -> None:
    sent = VALID_JOB | {"input": "Chapter 1\n\nOne.", "chapter_files": True}
    job = api.post("/v1/jobs", json=sent).json()["id"]
    finish(job, redis, settings)
    for path in ("content", "chapters/1/content", "timings", "subtitles?format=srt"):
        url = f"/v1/jobs/{job}/{path}"
        got, asked = api.get(url), api.head(url, headers={"Range": "bytes=0-9"})
        assert (asked.status_code, asked.content) == (200, b""), path
        for name in ("content-length", "content-type", "etag", "accept-ranges"):
            assert asked.headers.get(name) == got.headers.get(name), (path, name)
    assert api.head(f"/v1/jobs/{job}/events").status_code == 200


def test_a_route_without_a_get_has_no_head(api: TestClient) -> None:
    answer = api.head("/v1/audio/speech")
    assert (answer.status_code, answer.content) == (405, b"")
    assert answer.headers["allow"] == "POST"
    assert api.head("/nothing").status_code == 404
    assert api.patch("/v1/jobs").headers["allow"] == "GET, HEAD, POST"


def test_the_head_of_a_stream_ends_at_once(settings: Settings, api: TestClient) -> None:
    job = api.post("/v1/jobs", json=VALID_JOB).json()  # which no worker speaks
    one = settings.model_copy(update={"max_listeners": 1})
    with serving(one) as url, httpx2.Client(base_url=url, timeout=5) as client:
        for _ in range(5):  # one after the other has the only place, and the client waits for 5 s
            answer = client.head(job["links"]["events"])
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith("text/event-stream")
        assert client.get("/healthz").json() == {"status": "ok"}  # on the same connection


def test_a_head_is_logged_as_one(api: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "api.http.access_log")
    api.head("/v1/models")
    (line,) = [text for text in caplog.messages if "/v1/models" in text]
    assert "method=HEAD route=/v1/models status=200" in line


def test_health_is_what_other_servers_call_it(api: TestClient) -> None:
    assert api.get("/health").json() == api.get("/healthz").json() == {"status": "ok"}
