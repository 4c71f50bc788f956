"""Pages of other origins, as far as TTS_CORS_ORIGINS lets them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from api.http.cors import EXPOSED_HEADERS
from shared.settings import Settings
from shared.store.api_keys import ApiKeys
from tests.support.api_key_header import bearer
from tests.support.live_server import serving
from tests.support.paths import ROOT
from tests.support.valid_job import VALID_JOB

APP, OTHER = "https://app.example", "http://localhost:3000"
EVIL = "https://evil.example"
PREFLIGHT = {"Access-Control-Request-Method": "POST"}

pytestmark = pytest.mark.usefixtures("api")  # its workers, too


@contextmanager
def app(settings: Settings, **changes: Any) -> Iterator[TestClient]:
    known = settings.model_copy(update=changes)
    with TestClient(create_app(known), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def listed(settings: Settings) -> Iterator[TestClient]:
    with app(settings, cors_origins=f"{APP}, {OTHER.upper()}") as client:
        yield client


@pytest.mark.parametrize("origin", [APP, OTHER])
def test_a_preflight_needs_no_key(settings: Settings, keys: ApiKeys, origin: str) -> None:
    keys.create("phone")
    asked = {
        **PREFLIGHT,
        "Origin": origin,
        "Access-Control-Request-Headers": "authorization, content-type, x-stainless-os",
        "Access-Control-Request-Private-Network": "true",
    }
    with app(settings, cors_origins=f"{APP},{OTHER}", auth="required") as client:
        answer = client.options("/v1/jobs", headers=asked)
    assert answer.status_code == 200
    allowed = {
        name: answer.headers[f"access-control-allow-{name}"] for name in ("origin", "headers")
    }
    assert allowed == {"origin": origin, "headers": asked["Access-Control-Request-Headers"]}
    assert {"PUT", "DELETE"} <= set(answer.headers["access-control-allow-methods"].split(", "))
    assert answer.headers["access-control-allow-private-network"] == "true"
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize("origin", [EVIL, "null", f"{APP}.evil.example", "http://app.example", "*"])
@pytest.mark.parametrize("listed_origins", ["", APP])
def test_a_foreign_page_is_refused_with_the_name_of_the_setting(
    settings: Settings, origin: str, listed_origins: str
) -> None:
    with app(settings, cors_origins=listed_origins) as client:
        asked = client.options("/v1/jobs", headers={**PREFLIGHT, "Origin": origin})
        sent = client.post("/v1/jobs", json=VALID_JOB, headers={"Origin": origin})
    for answer in (asked, sent):
        assert answer.status_code == 403
        assert "TTS_CORS_ORIGINS" in answer.json()["error"]["message"]
        assert "access-control-allow-origin" not in answer.headers


def test_a_method_that_no_route_has_is_refused(listed: TestClient) -> None:
    asked = {"Origin": APP, "Access-Control-Request-Method": "TRACE"}
    answer = listed.options("/v1/jobs", headers=asked)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "method_not_allowed")


def test_a_listed_page_may_send_without_keys(listed: TestClient) -> None:
    headers = {"Origin": APP, "Sec-Fetch-Site": "cross-site"}
    answer = listed.post("/v1/jobs", json=VALID_JOB, headers=headers)
    assert answer.status_code == 202
    assert answer.headers["access-control-allow-origin"] == APP
    exposed = answer.headers["access-control-expose-headers"].lower().split(", ")
    assert {"location", "x-request-id", "openai-poll-after-ms"} <= set(exposed)
    assert "origin" in answer.headers["vary"].lower()
    assert answer.headers.get_list("access-control-allow-origin") == [APP]
    # No Origin, but the browser says that it is of elsewhere.
    assert listed.post(
        "/v1/jobs", json=VALID_JOB, headers={"Sec-Fetch-Site": "cross-site"}
    ).is_error


def test_a_page_reads_errors_too(
    listed: TestClient, keys: ApiKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = {"Origin": APP}
    large = {"Content-Type": "application/json", **headers}

    def fail(*_: object) -> None:
        raise RuntimeError("unexpected")

    monkeypatch.setattr(listed.app.state.services.registry, "models", fail)  # type: ignore[attr-defined]
    answers = [
        listed.get("/v1/jobs/none", headers=headers),
        listed.post("/v1/jobs", json={}, headers=headers),
        listed.post("/v1/jobs", content=b"x" * 2_000_001, headers=large),
        listed.get("/none", headers=headers),
        listed.patch("/v1/jobs", headers=headers),
        listed.get("/v1/models", headers=headers),
        listed.get("/readyz", headers={**headers, "x": "y" * 70_000}),
    ]
    keys.create("phone")
    answers.append(listed.get("/v1/jobs", headers=headers))
    statuses = [answer.status_code for answer in answers]
    assert statuses == [404, 400, 413, 404, 405, 500, 431, 401]
    for answer in answers:
        assert answer.headers["access-control-allow-origin"] == APP, answer
        assert answer.headers["x-request-id"], answer


def test_events_have_the_headers(listed: TestClient) -> None:
    job = listed.post("/v1/jobs", json=VALID_JOB).json()
    listed.post(f"/v1/jobs/{job['id']}/cancel")
    answer = listed.get(job["links"]["events"], headers={"Origin": OTHER})
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["access-control-allow-origin"] == OTHER


def test_every_page_is_let_in_with_keys(settings: Settings, keys: ApiKeys) -> None:
    _, token = keys.create("page")
    with app(settings, cors_origins="*", auth="required") as client:
        headers = {**bearer(token), "Origin": EVIL}
        assert client.options("/v1/jobs", headers={**PREFLIGHT, "Origin": EVIL}).status_code == 200
        for answer in (
            client.post("/v1/jobs", json=VALID_JOB, headers=headers),
            client.post("/v1/jobs", json=VALID_JOB, headers={"Origin": EVIL}),
        ):
            assert answer.headers["access-control-allow-origin"] == "*"
            assert "access-control-allow-credentials" not in answer.headers


def test_a_request_of_no_page_has_no_cors_headers(api: TestClient, listed: TestClient) -> None:
    assert "access-control-allow-origin" not in listed.get("/healthz").headers
    plain = api.get("/healthz", headers={"Origin": APP})
    assert not {"vary", "access-control-expose-headers"} & set(plain.headers)


def test_a_real_server_answers_so_too(settings: Settings) -> None:
    with serving(settings.model_copy(update={"cors_origins": APP})) as url:
        answer = httpx2.options(f"{url}/v1/jobs", headers={**PREFLIGHT, "Origin": APP})
        assert answer.headers["access-control-allow-origin"] == APP


def test_each_exposed_header_is_one_that_the_program_sends() -> None:
    program = "".join(path.read_text() for path in (ROOT / "api").rglob("*.py"))
    without_cors = program.replace((ROOT / "api" / "http" / "cors.py").read_text(), "").lower()
    assert [name for name in EXPOSED_HEADERS if f'"{name.lower()}"' not in without_cors] == []
