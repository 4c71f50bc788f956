"""The log of a running API: each request, each refused key, and who cancelled or deleted."""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from redis import Redis

from client.local.ports import free_port
from shared.logs import OneLine
from shared.models import ModelCard
from shared.settings import Settings
from shared.store.api_keys import ApiKeys
from tests.support.processes import wait_until
from tests.support.registered_workers import sign_in
from tests.support.valid_job import VALID_JOB

Line = dict[str, str]
_PAIR = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*"|\S*)')


class Log:
    """The lines of a file, of which those that are pairs are read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def lines(self) -> list[Line]:
        text = self.path.read_text().splitlines()
        return [self._read(line) for line in text if "method=" in line or "action=" in line]

    def _read(self, line: str) -> Line:
        said, found = line.split(" ", 3)[3], {}
        assert _PAIR.sub("", said).strip() == "", line
        for name, value in _PAIR.findall(said):
            assert name not in found, line
            found[name] = json.loads(value) if value.startswith('"') else value
        return found

    def of(self, request: str) -> list[Line]:
        """The lines of a request, which are written after its answer."""
        wait_until(lambda: [x for x in self.lines if x["request"] == request and "ms" in x])
        return [line for line in self.lines if line["request"] == request]


Start = Callable[..., tuple[httpx.Client, Log]]


@pytest.fixture
def start(settings: Settings, redis: Redis, card: ModelCard, tmp_path: Path) -> Iterator[Start]:
    sign_in(redis, card)
    running: list[subprocess.Popen[bytes]] = []
    clients: list[httpx.Client] = []

    def start(**env: str) -> tuple[httpx.Client, Log]:
        path, port = tmp_path / f"log-{len(running)}", free_port("127.0.0.1")
        known = {"TTS_REDIS_URL": settings.redis_url, "TTS_STORAGE_URL": settings.storage_url}
        with path.open("w") as log:
            command = [sys.executable, "-m", "api", "--port", str(port)]
            running.append(subprocess.Popen(command, env=os.environ | known | env, stderr=log))
        client = httpx.Client(base_url=f"http://127.0.0.1:{port}")
        clients.append(client)
        wait_until(lambda: is_up(client), 30)
        return client, Log(path)

    yield start
    for client in clients:
        client.close()
    for server in running:
        server.terminate()
        server.wait()


def is_up(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").is_success
    except httpx.HTTPError:
        return False


def named(name: str, token: str = "") -> dict[str, str]:
    return {"x-request-id": name} | ({"Authorization": f"Bearer {token}"} if token else {})


def test_each_request_is_a_line(start: Start, redis: Redis) -> None:
    api, log = start()
    key, token = ApiKeys(redis).create("phone", owner="ann")
    wait_until(lambda: api.get("/v1/jobs").status_code == 401)
    job = api.put("/v1/jobs/chapter-1", json=VALID_JOB, headers=named("r1", token))
    assert job.status_code == 202
    api.get("/v1/jobs/chapter-1", headers=named("r2", token))
    api.post("/v1/jobs/chapter-1/cancel", headers=named("r3", token))
    api.delete("/v1/jobs/chapter-1", headers=named("r4", token))
    api.get("/v1/jobs/chapter-1", headers=named("r5", token))
    (submitted,) = log.of("r1")
    assert float(submitted.pop("ms")) > 0
    job_id = submitted.pop("job")
    assert job_id.startswith("job_")
    by = {"owner": "ann", "key": key.id}
    assert submitted == {
        "method": "PUT",
        "route": "/v1/jobs/{job_id}",
        "status": "202",
        "request": "r1",
        **by,
    }
    assert log.of("r2")[0]["job"] == job_id
    cancelled, _ = log.of("r3")
    assert cancelled == {"action": "cancel", "job": job_id, "request": "r3", **by}
    deleted, line = log.of("r4")
    assert deleted == {"action": "delete", "job": job_id, "request": "r4", **by}
    assert (line["method"], line["route"]) == ("DELETE", "/v1/jobs/{job_id}")
    assert log.of("r5")[0]["code"] == "job_not_found"
    assert "chapter-1" not in log.path.read_text()


def test_refused_keys_are_logged_without_the_token(start: Start, redis: Redis) -> None:
    api, log = start(TTS_LOG_REQUESTS="0")
    key, token = ApiKeys(redis).create("phone", scopes=())
    wait_until(lambda: api.get("/v1/jobs").status_code == 401)
    wrong = f"tts_{key.id}_{'x' * 43}"
    assert api.get("/v1/jobs", headers=named("r1", wrong)).status_code == 401
    assert api.get("/v1/jobs", headers=named("r2", token)).status_code == 403
    assert api.get("/v1/jobs", headers=named("r3", "sk-made-up")).status_code == 401
    assert log.of("r1")[0]["key"] == key.id
    assert "not known" in log.of("r1")[0]["reason"]
    assert "scope" in log.of("r2")[0]["reason"]
    assert "key" not in log.of("r3")[0]
    assert {log.of(name)[0]["client"] for name in ("r1", "r2", "r3")} == {"127.0.0.1"}
    written = log.path.read_text()
    secret = token.removeprefix(f"tts_{key.id}_")
    assert all(part not in written for part in ("x" * 43, secret, "made-up"))
    assert "WARNING" in written


def test_what_is_switched_off_is_not_logged_but_who_deleted_is(start: Start) -> None:
    api, log = start(TTS_LOG_REQUESTS="0")
    job = api.post("/v1/jobs", json=VALID_JOB, headers=named("r1")).json()["id"]
    api.delete(f"/v1/jobs/{job}", headers=named("r2"))
    wait_until(lambda: log.lines)
    assert log.lines == [{"action": "delete", "job": job, "owner": "public", "request": "r2"}]


def test_health_checks_are_logged_for_debugging_only(start: Start) -> None:
    quiet, log = start()
    quiet.get("/healthz", headers=named("r1"))
    quiet.get("/nothing", headers=named("r2"))
    assert log.of("r2")[0]["route"] == "-"
    assert "healthz" not in log.path.read_text()
    loud, log = start(TTS_LOG_LEVEL="debug")
    loud.get("/healthz", headers=named("r1"))
    assert log.of("r1")[0]["route"] == "/healthz"


@pytest.mark.parametrize(
    "target",
    ["/v1/jobs/a%0d%0a2025-01-01%20WARNING%20action=delete", "/v1/jobs/%1b%5b2J", "/%0a%0b"],
)
def test_no_request_writes_a_line_of_its_own(start: Start, target: str) -> None:
    api, log = start()
    parts = urlsplit(str(api.base_url))
    with socket.create_connection((parts.hostname, parts.port)) as raw:
        raw.sendall(
            f"GET {target} HTTP/1.1\r\nHost: localhost\r\n"
            "x-request-id: a\x1b[31m\x7f\r\nConnection: close\r\n\r\n".encode()
        )
        while raw.recv(65_536):
            pass
    evil = {"Host": "a.example\x85x=1", "x-request-id": 'r"1 x=2'}
    assert api.get("/v1/jobs", headers={k: v.encode("latin-1") for k, v in evil.items()})
    wait_until(lambda: len(log.lines) >= 2)
    assert all("x" not in line and line.get("action") is None for line in log.lines)
    written = log.path.read_text()
    assert all(each.isprintable() for each in written.replace("\n", ""))


def test_every_message_is_one_line() -> None:
    record = logging.LogRecord("n", logging.INFO, "f", 1, "%s", ("a\nb\r\x1b[0m\u2028é",), None)
    assert OneLine("%(message)s").format(record) == "a\\nb\\r\\x1b[0m\\u2028é"
