"""The security headers, which no answer lacks."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient
from redis import Redis

from api.app import create_app
from api.http.middleware import SECURITY_HEADERS, secured
from shared.settings import Settings
from shared.store.api_keys import ApiKeys
from tests.support.valid_job import VALID_JOB


def check(answer: Any) -> None:
    for name, value in SECURITY_HEADERS:
        assert len(answer.headers.get_list(name.decode())) == 1, (answer.url, name)
        if name != b"content-security-policy":
            assert answer.headers[name.decode()] == value.decode()
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


def test_every_answer_has_the_headers(
    api: TestClient, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [path for path in api.get("/openapi.json").json()["paths"] if "{" not in path]
    seen = set()
    for path in (
        *paths,
        "/",
        "/docs",
        "/static/main.js",
        "/static/none",
        "/nothing",
        "/openapi.json",
    ):
        answer = api.get(path)
        check(answer)
        seen.add(answer.status_code)
    sent = api.post("/v1/jobs", json=VALID_JOB)
    for answer in (
        sent,
        api.post("/v1/jobs", json={}),
        api.post(
            "/v1/jobs", content=b"x" * 2_000_001, headers={"Content-Type": "application/json"}
        ),
        api.patch("/v1/jobs"),
        api.get(sent.headers["location"] + "/content"),
        api.get("/", headers={"If-None-Match": api.get("/").headers["etag"]}),
        api.options("/"),
    ):
        check(answer)
        seen.add(answer.status_code)
    ApiKeys(redis).create("phone")
    monkeypatch.setattr("shared.store.api_keys.MAX_TABLE_AGE_S", 0.0)
    refused = api.get("/v1/jobs")
    check(refused)
    assert seen | {refused.status_code} >= {200, 202, 304, 400, 401, 404, 405, 409, 413}


def test_an_unexpected_error_has_them_too(
    settings: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert redis.ping()

    def fail(*_: object) -> None:
        raise RuntimeError("unexpected")

    app = create_app(settings)
    monkeypatch.setattr(app.state.services.registry, "models", fail)
    with TestClient(app, raise_server_exceptions=False) as api:
        answer = api.get("/v1/models")
    assert answer.status_code == 500
    check(answer)


def test_a_value_of_the_route_stays() -> None:
    page = [(b"Content-Security-Policy", b"default-src 'none'")]
    assert dict(secured(page))[b"Content-Security-Policy"] == b"default-src 'none'"
    assert len(secured(page)) == len(SECURITY_HEADERS)
