"""Behind a proxy: under a path of its URL, and with the headers that it adds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient
from redis import Redis

from api.app import create_app
from shared.errors import InvalidSetting
from shared.models import ModelCard
from shared.settings import Settings
from tests.support.finished_job import finish
from tests.support.live_server import serving
from tests.support.registered_workers import sign_in
from tests.support.valid_job import VALID_JOB

PROXY = ("127.0.0.1", 1)
JSONL = {"Content-Type": "application/jsonl"}
LINE = json.dumps({"custom_id": "a", "url": "/v1/jobs", "body": VALID_JOB})


@contextmanager
def app(settings: Settings, peer: tuple[str, int] = PROXY, **changes: Any) -> Iterator[TestClient]:
    application = create_app(settings.model_copy(update=changes))
    with TestClient(application, "http://localhost:8000", client=peer) as client:
        yield client


@pytest.fixture(autouse=True)
def worker(redis: Redis, card: ModelCard) -> None:
    sign_in(redis, card)


# A proxy that cuts the prefix off, and one that leaves it there.
@pytest.fixture(params=["", "/apps/tts"])
def sent_prefix(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["setting", "header"])
def behind(request: pytest.FixtureRequest, settings: Settings) -> Iterator[TestClient]:
    """A client that is under `/apps/tts`, by the setting or by a proxy's header."""
    if request.param == "setting":
        with app(settings, root_path="/apps/tts") as client:
            yield client
    else:
        with app(settings) as client:
            client.headers["X-Forwarded-Prefix"] = "/apps/tts"
            yield client


def test_every_link_has_the_prefix(
    behind: TestClient, sent_prefix: str, redis: Redis, settings: Settings
) -> None:
    api, root = f"{sent_prefix}/v1", "/apps/tts/v1"
    accepted = behind.post(f"{api}/jobs", json=VALID_JOB)
    job = accepted.json()
    url = f"{root}/jobs/{job['id']}"
    assert accepted.headers["location"] == job["links"]["self"] == url
    names = ("content", "events", "history", "timings", "subtitles")
    links = {name: f"{url}/{name}" for name in names}
    assert job["links"] == {"self": url, **links}
    finish(job["id"], redis, settings)
    batch = behind.post(f"{api}/batches", content=LINE, headers=JSONL)
    batch_url = f"{root}/batches/{batch.json()['id']}"
    assert batch.headers["location"] == batch.json()["links"]["self"] == batch_url
    finish(behind.get(f"{api}/jobs").json()["data"][0]["id"], redis, settings)
    line = json.loads(behind.get(batch.json()["links"]["output"]).text)
    assert line["response"]["body"]["links"]["self"].startswith(f"{root}/jobs/")
    for answer in (
        behind.get(url),
        behind.post(f"{url}/cancel"),
        behind.get(f"{root}/batches/{batch.json()['id']}"),
        behind.post(f"{batch_url}/cancel"),
    ):
        assert answer.json()["links"]["self"] in (url, batch_url)
    assert behind.get(f"{api}/jobs").json()["data"][1]["links"] == job["links"]
    events = behind.get(links["events"]).text
    assert json.loads(events.partition("data: ")[2].splitlines()[0])["links"] == job["links"]
    assert behind.get(links["content"], headers={"Range": "bytes=0-3"}).content == b"RIFF"


def test_the_description_and_its_page_have_the_prefix(behind: TestClient, sent_prefix: str) -> None:
    found = behind.get(f"{sent_prefix}/openapi.json").json()
    assert found["servers"] == [{"url": "/apps/tts"}]
    assert "/v1/jobs" in found["paths"]
    script = "static-offline-docs/swagger-ui-bundle.js"
    assert f'src="{script}"' in behind.get(f"{sent_prefix}/docs").text
    assert behind.get(f"{sent_prefix}/{script}").status_code == 200


def test_the_page_has_the_prefix(behind: TestClient, sent_prefix: str) -> None:
    page = behind.get(f"{sent_prefix}/")
    assert 'src="/apps/tts/static/main.js"' in page.text
    assert '"static/' not in page.text
    again = behind.get(f"{sent_prefix}/", headers={"If-None-Match": page.headers["etag"]})
    assert again.status_code == 304
    assert behind.get(f"{sent_prefix}/static/main.js").status_code == 200
    to_folder = behind.get("/apps/tts", follow_redirects=False)
    assert to_folder.headers["location"] == "http://localhost:8000/apps/tts/"


def test_without_a_prefix_the_page_is_relative(settings: Settings) -> None:
    with app(settings) as client:
        page = client.get("/")
        assert 'src="static/main.js"' in page.text
        assert "servers" not in client.get("/openapi.json").json()
        other = client.get("/", headers={"X-Forwarded-Prefix": "/tts"})
    assert page.headers["etag"] != other.headers["etag"]


def test_errors_and_heads_know_the_routes(behind: TestClient, sent_prefix: str) -> None:
    refused = behind.patch(f"{sent_prefix}/v1/jobs")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD, POST")
    assert behind.head(f"{sent_prefix}/v1/models").status_code == 200
    assert behind.get(f"{sent_prefix}/v1/nothing").status_code == 404
    assert behind.get("/other/v1/models").status_code == 404
    assert behind.get("/apps/ttsv1/models").status_code == 404


def links_for(client: TestClient, **headers: str) -> str:
    return str(client.post("/v1/jobs", json=VALID_JOB, headers=headers).headers["location"])


@pytest.mark.parametrize(
    ("sent", "prefix"),
    [
        ("/tts", "/tts"),
        ("/tts/", "/tts"),
        ("tts", "/tts"),
        ("/a, /b", "/a/b"),
        ("/~me/tts-2.x_y", "/~me/tts-2.x_y"),
        ("", ""),
        ("/", ""),
        ("//evil.example", "/evil.example"),  # no URL of another host
        ("/a//b", ""),
        ("/..", ""),
        ("/a/./b", ""),
        ('/a"><script>', ""),
        ("/%2e%2e", ""),
        ("/" + 200 * "a", ""),
        ("/v1", ""),
        ("/static/x", ""),
    ],
)
def test_a_prefix_is_plain_or_none(settings: Settings, sent: str, prefix: str) -> None:
    with app(settings) as client:
        assert links_for(client, **{"X-Forwarded-Prefix": sent}).startswith(f"{prefix}/v1/jobs/")


def test_the_header_wins_over_the_setting(settings: Settings) -> None:
    with app(settings, root_path="/a") as client:
        assert links_for(client, **{"X-Forwarded-Prefix": "/b"}).startswith("/b/v1/jobs/")


@pytest.mark.parametrize(
    ("trusted", "peer", "is_trusted"),
    [
        ("127.0.0.1,::1", "127.0.0.1", True),
        ("127.0.0.1,::1", "::1", True),
        ("127.0.0.1,::1", "172.18.0.5", False),
        ("172.16.0.0/12", "172.18.0.5", True),
        ("172.16.0.0/12", "127.0.0.1", False),
        ("*", "203.0.113.9", True),
        ("", "127.0.0.1", False),
    ],
)
def test_only_trusted_proxies_are_believed(
    settings: Settings, trusted: str, peer: str, is_trusted: bool
) -> None:
    with app(settings, (peer, 1), trusted_proxies=trusted, auth="open") as client:
        sent = {"X-Forwarded-Prefix": "/tts", "X-Forwarded-Host": "tts.local"}
        location = links_for(client, **sent)
        redirect = client.get("/v1/queue/", headers=sent, follow_redirects=False)
    assert location.startswith("/tts/v1" if is_trusted else "/v1")
    to = redirect.headers["location"]
    assert to.startswith("http://tts.local/tts/" if is_trusted else "http://localhost:8000/v1")


def test_scheme_and_host_are_those_of_the_client(settings: Settings) -> None:
    sent = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "tts.internal:8443"}
    with app(settings) as client:
        redirect = client.get("/v1/queue/", headers=sent, follow_redirects=False)
        own_page = {**sent, "Origin": "https://tts.internal:8443"}
        assert client.post("/v1/jobs", json=VALID_JOB, headers=own_page).status_code == 202
        foreign = {**sent, "Origin": "https://localhost:8000"}
        assert client.post("/v1/jobs", json=VALID_JOB, headers=foreign).status_code == 403
    assert redirect.headers["location"] == "https://tts.internal:8443/v1/queue"


@pytest.mark.parametrize("forwarded", ["localhost", "evil.example", "a b", "localhost/x", ""])
def test_a_name_of_a_stranger_is_refused_whatever_is_forwarded(
    settings: Settings, forwarded: str
) -> None:
    """A page whose name leads to this machine may send any header."""
    with app(settings) as client:
        sent = {"Host": "evil.example", "X-Forwarded-Host": forwarded}
        answer = client.get("/v1/jobs", headers=sent)
        assert (answer.status_code, "TTS_HOSTS" in answer.text) == (403, True)


def test_the_name_that_a_proxy_was_asked_for_has_to_be_known(settings: Settings) -> None:
    sent = {"X-Forwarded-Host": "tts.example.com"}
    with app(settings) as client:
        assert "tts.example.com" in client.get("/v1/jobs", headers=sent).json()["error"]["message"]
    with app(settings, hosts="tts.example.com") as client:
        assert client.get("/v1/jobs", headers=sent).status_code == 200


def test_the_log_has_the_address_of_the_client(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    with app(settings, auth="required") as client:
        for address in ("203.0.113.9", "203.0.113.9, 127.0.0.1"):
            client.get("/v1/jobs", headers={"X-Forwarded-For": address})
    refused = [text for text in caplog.messages if "status=401" in text]
    assert [text.rpartition("client=")[2] for text in refused] == ["203.0.113.9", "203.0.113.9"]


@pytest.mark.parametrize("path", ["/v1", "/v1/jobs", "/docs/x", "/static"])
def test_the_prefix_does_not_begin_as_our_own_paths(settings: Settings, path: str) -> None:
    with pytest.raises(InvalidSetting, match="TTS_ROOT_PATH"):
        create_app(settings.model_copy(update={"root_path": path}))


def test_a_real_server_is_found_under_its_prefix(settings: Settings) -> None:
    with serving(settings.model_copy(update={"root_path": "/tts"})) as url:
        for path in ("/tts/healthz", "/healthz", "/tts/static/api.js", "/tts/"):
            assert httpx2.get(url + path).status_code == 200, path
        sent = {"X-Forwarded-Prefix": "/b", "X-Forwarded-For": "203.0.113.9"}
        accepted = httpx2.post(f"{url}/v1/jobs", json=VALID_JOB, headers=sent)
        assert accepted.headers["location"].startswith("/b/v1/jobs/")
