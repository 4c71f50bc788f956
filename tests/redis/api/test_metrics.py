from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import nullcontext

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from api.app import create_app
from client.local.redis_server import RedisServer
from shared.jobs import SpeechSpec
from shared.settings import Settings
from shared.store.api_keys import DEFAULT_SCOPES, MAX_TABLE_AGE_S, ApiKeys, Scope
from shared.store.connection import connect
from shared.store.ledger import Ledger
from tests.support.api_key_header import bearer
from tests.support.plain_segments import plain
from tests.support.processes import frozen

MODEL = "tiny-CustomVoice"
FIRST = {"ledger": "first"}
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(api: TestClient, **headers: str) -> Samples:
    answer = api.get("/metrics", headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, frozenset(sample.labels.items() - FIRST.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


def test_a_scrape_has_the_queue_and_what_was_counted(
    api: TestClient, ledger: Ledger, spec: SpeechSpec
) -> None:
    ledger.admit("j", spec, plain(["one", "two"]))
    ledger.claim(MODEL)
    found = scrape(api)
    normal = {"model": MODEL, "priority": "normal"}
    assert value(found, "tts_segments_queued", **normal) == 1
    assert value(found, "tts_segments_running", **normal) == 1
    assert value(found, "tts_segments_queued", model=MODEL, priority="high") == 0
    assert value(found, "tts_jobs_accepted_total", **normal) == 1
    assert value(found, "tts_jobs_ended_total", model=MODEL, outcome="failed") == 0
    assert value(found, "tts_workers", model=MODEL) == 1
    assert value(found, "tts_redis_up") == 1
    assert value(found, "tts_redis_memory_bytes") > 100_000
    assert value(found, "tts_check_ok", check="storage") == 1
    assert value(found, "tts_redis_seconds_count", step="claim") >= 1
    assert value(found, "process_resident_memory_bytes") > 10_000_000


def test_requests_are_counted_by_their_route(api: TestClient) -> None:
    def count(route: str, status: str, method: str = "GET") -> float:
        name = "tts_http_request_seconds_count"
        labels = {"route": route, "status": status, "method": method}
        return scrape(api).get((name, frozenset(labels.items())), 0)

    job, nothing = count("/v1/jobs/{job_id}", "4xx"), count("-", "4xx")
    head = count("/v1/models", "2xx", "HEAD")
    other = count("-", "4xx", "other")
    for number in range(3):
        assert api.get(f"/v1/jobs/{number}").status_code == 404
    assert api.get("/no-such-path").status_code == 404
    assert api.head("/v1/models").status_code == 200
    assert api.request("BREW", "/no-such-path").status_code == 404
    assert count("/v1/jobs/{job_id}", "4xx") == job + 3
    assert count("-", "4xx") == nothing + 1
    assert count("/v1/models", "2xx", "HEAD") == head + 1
    assert count("-", "4xx", "other") == other + 1


def test_no_label_holds_what_a_client_has_sent(api: TestClient) -> None:
    api.get("/v1/jobs/secret-name")
    api.post("/v1/jobs", json={"input": "secret-name", "model": "secret-name"})
    text = api.get("/metrics").text
    assert "secret-name" not in text
    assert len(re.findall("^# TYPE", text, re.MULTILINE)) > 20


@pytest.mark.usefixtures("api")
def test_with_keys_a_scrape_needs_the_scope(api: TestClient, keys: ApiKeys) -> None:
    _, reads = keys.create("reader")
    _, scrapes = keys.create("prometheus", scopes=(Scope.METRICS,))
    assert api.get("/metrics").status_code == 401
    refused = api.get("/metrics", headers={"Authorization": f"Bearer {reads}"})
    assert (refused.status_code, "'metrics'" in refused.text) == (403, True)
    scrape(api, Authorization=f"Bearer {scrapes}")
    assert api.get("/v1/jobs", headers={"Authorization": f"Bearer {scrapes}"}).status_code == 403


def test_an_open_endpoint_asks_for_no_key(settings: Settings, keys: ApiKeys) -> None:
    keys.create("reader")
    with TestClient(create_app(settings.model_copy(update={"metrics": "open"}))) as api:
        scrape(api)


@pytest.fixture
def silent_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    folder = tmp_path_factory.mktemp("silent")
    with RedisServer(folder, log=folder / "redis.log") as server:
        yield server


def test_without_redis_the_keys_of_before_read_metrics_and_nothing_else(
    silent_redis: RedisServer, settings: Settings
) -> None:
    alone = settings.model_copy(update={"redis_url": silent_redis.url})
    keys = ApiKeys(connect(silent_redis.url))
    _, scraper = keys.create("prometheus", scopes=(*DEFAULT_SCOPES, Scope.METRICS))
    _, phone = keys.create("phone")
    with TestClient(create_app(alone)) as api, TestClient(create_app(alone)) as new:
        assert api.get("/v1/jobs", headers=bearer(scraper)).status_code == 200
        silent_redis.stop()
        time.sleep(MAX_TABLE_AGE_S + 0.1)
        found = api.get("/metrics", headers=bearer(scraper))
        assert found.status_code == 200
        assert 'tts_redis_up{ledger="first"} 0.0' in found.text
        refused = [("phone", bearer(phone), 403), ("other", bearer(scraper[:-1]), 401)]
        for name, headers, status in [*refused, ("none", {}, 401)]:
            assert api.get("/metrics", headers=headers).status_code == status, name
        assert api.get("/v1/jobs", headers=bearer(scraper)).status_code == 503
        assert new.get("/metrics", headers=bearer(scraper)).status_code == 503  # it knows no key


def test_without_redis_an_open_server_says_so(
    silent_redis: RedisServer, settings: Settings
) -> None:
    alone = settings.model_copy(update={"redis_url": silent_redis.url})
    with TestClient(create_app(alone)) as api:
        scrape(api)
        silent_redis.stop()
        time.sleep(MAX_TABLE_AGE_S + 0.1)
        assert value(scrape(api), "tts_redis_up") == 0
        assert api.get("/v1/jobs").status_code == 503


@pytest.mark.parametrize("fault", ["stopped", "silent"])
def test_without_redis_a_scrape_answers_soon_and_says_so(
    fault: str, silent_redis: RedisServer, settings: Settings
) -> None:
    alone = settings.model_copy(update={"redis_url": silent_redis.url, "metrics": "open"})
    with TestClient(create_app(alone)) as api:
        assert value(scrape(api), "tts_redis_up") == 1
        time.sleep(1.1)  # the figures are read anew
        if fault == "stopped":
            silent_redis.stop()
        with frozen(silent_redis.child) if fault == "silent" else nullcontext():
            begun_s = time.monotonic()
            found = scrape(api)
        assert time.monotonic() - begun_s < 5
        assert value(found, "tts_redis_up") == 0
        assert ("tts_jobs_open", frozenset()) not in found
        assert value(found, "process_resident_memory_bytes") > 10_000_000
