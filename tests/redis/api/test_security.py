"""What must not work: strange paths and names, huge and slow bodies, other tenants' things."""

from __future__ import annotations

import hmac
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import httpx
import pytest
from redis import Redis

from api.http import header_timeout, middleware
from shared.models import ModelCard
from shared.settings import Settings
from shared.speech_model import Task
from shared.store import api_keys as keys
from shared.store import keys as redis_keys
from shared.store.api_keys import ApiKeys
from shared.store.workers import WorkerRegistry
from tests.support.audio_files import recording
from tests.support.live_server import serving
from tests.support.valid_job import VALID_JOB

LIMIT = 2_000_000
HUGE = 100 * 2**20
PIECE = b"x" * 65_536
STRANGE = (
    "..",
    "../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "%2e%2e%2f%2e%2e%2fsecret",
    "..%5c..%5csecret",
    "%00",
    "job_%00",
    "job_..%2f..%2fsecret",
    "a%0d%0aX-Evil:%201",
    "tts:job:*",
    "*",
    "%ff%fe",
    "job_" + "9" * 500,
)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A file beside the results, where no request should get to."""
    secret = tmp_path / "secret"
    secret.write_text("private")
    return secret


@pytest.fixture
def url(
    settings: Settings,
    redis: Redis,
    card: ModelCard,
    outside: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[str]:
    assert outside.exists()
    monkeypatch.setattr(keys, "MAX_TABLE_AGE_S", 0.0)
    WorkerRegistry(redis).sign_in("w", card)
    base = {"id": "b", "task": Task.VOICE_CLONE, "voices": ()}
    WorkerRegistry(redis).sign_in("b", card.model_copy(update=base))
    with serving(settings) as url:
        yield url


def everything(tmp_path: Path, redis: Redis) -> tuple[list[str], list[str]]:
    """All files and records, but for who works, the queue's own clocks and that it is open."""
    files = sorted(str(path) for path in (tmp_path / "results").glob("*/**/*") if path.is_file())
    return files, sorted(
        key
        for key in redis.scan_iter()
        if not key.startswith(("tts:workers", redis_keys.API_KEYS_OPEN))
    )


def raw(url: str, request: bytes, *, within_s: float = 10.0) -> bytes:
    """The bytes of an answer, whatever we send."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=within_s) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65_536), b""))


def operations(url: str) -> list[tuple[str, str]]:
    """Those of clients: an operator's see all tenants, and leave a line in the audit."""
    paths = httpx.get(f"{url}/openapi.json").json()["paths"]
    return [
        (method.upper(), path)
        for path, found in paths.items()
        for method in found
        if not path.startswith("/v1/admin/")
    ]


def test_no_id_leads_elsewhere(url: str, tmp_path: Path, redis: Redis) -> None:
    before = everything(tmp_path, redis)
    for method, path in operations(url):
        for strange in STRANGE if "{" in path else ():
            target = re.sub(r"\{\w+\}", strange, path)
            request = f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            answer = raw(url, request.encode())
            status = int(answer.split(b" ", 2)[1])
            assert 400 <= status < 500, (method, target, answer[:300])
            assert b"private" not in answer
            assert b"x-evil" not in answer.lower().partition(b"\r\n\r\n")[0]
    assert everything(tmp_path, redis) == before


@pytest.mark.parametrize("name", ["../../secret.txt", "/etc/passwd.txt", "a\\..\\b.txt", ".txt"])
def test_a_file_name_is_no_path(url: str, name: str, tmp_path: Path, outside: Path) -> None:
    form = {"task": "custom_voice", "voice": "vivian"}
    sent = httpx.post(f"{url}/v1/jobs", data=form, files={"file": (name, b"Hello there.")})
    assert sent.status_code in (202, 415)
    assert not list((tmp_path / "results").glob("*/**/*"))  # what was sent is not kept
    assert outside.read_text() == "private"
    assert {path.name for path in tmp_path.iterdir()} <= {"results", "secret"}


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Idempotency-Key", "../../x"),
        ("Idempotency-Key", "*"),
        ("x-request-id", "../../x"),
        ("x-request-id", "a" * 5_000),
        ("Prefer", "wait=" + "9" * 400),
        ("Range", "bytes=" + "0-1," * 2_000),
        ("Last-Event-ID", "a" * 5_000),
        ("Authorization", "Bearer " + "a" * 5_000),
    ],
)
def test_a_strange_header_does_no_harm(url: str, header: str, value: str) -> None:
    answer = httpx.post(f"{url}/v1/jobs", json=VALID_JOB, headers={header: value}, timeout=70)
    assert answer.status_code in (202, 400)
    assert answer.headers["x-request-id"] != value


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=x"])
@pytest.mark.parametrize("is_declared", [True, False])
def test_a_huge_body_is_refused_before_it_is_read(
    url: str, kind: str, is_declared: bool, tmp_path: Path, redis: Redis
) -> None:
    sent = 0

    def pieces() -> Iterator[bytes]:
        nonlocal sent
        part = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'
        yield part.ljust(len(PIECE), b"x")
        while sent < HUGE - len(PIECE):
            yield PIECE
            sent += len(PIECE)

    before = everything(tmp_path, redis)
    headers = {"Content-Type": kind} | ({"Content-Length": str(HUGE)} if is_declared else {})
    try:
        answer = httpx.post(f"{url}/v1/jobs", content=pieces(), headers=headers)
    except (httpx.WriteError, httpx.RemoteProtocolError, httpx.ReadError):
        pass  # the connection was closed while we were still sending
    else:
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")
    assert sent < HUGE // 2
    assert everything(tmp_path, redis) == before


def test_whoever_has_no_key_has_no_body_read(url: str, redis: Redis) -> None:
    ApiKeys(redis).create("k")
    head = (
        "POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {LIMIT - 1}\r\nConnection: close\r\n\r\n"
    )
    assert raw(url, head.encode()).startswith(b"HTTP/1.1 401")


def test_a_body_that_does_not_come_is_waited_for_in_vain(
    url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, redis: Redis
) -> None:
    monkeypatch.setattr(middleware, "BODY_TIMEOUT_S", 0.3)
    before = everything(tmp_path, redis)
    for kind in ("application/json", "multipart/form-data; boundary=x"):
        head = (
            f"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
            "Content-Length: 1000\r\n\r\n--x\r\n"
        )
        answer = raw(url, head.encode())
        assert answer.startswith(b"HTTP/1.1 408"), answer
        assert b'"code":"body_too_slow"' in answer
    assert everything(tmp_path, redis) == before


@pytest.mark.parametrize("said", [b"", b"GET /v1/jobs HTTP/1.1\r\nHost: loc"])
def test_a_head_that_does_not_come_is_not_waited_for(
    url: str, said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(header_timeout, "HEAD_TIMEOUT_S", 0.3)
    assert raw(url, said) == b""


def test_nor_is_one_of_a_connection_that_was_used_before(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(header_timeout, "HEAD_TIMEOUT_S", 0.5)
    whole = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    assert raw(url, whole + whole[:20]).count(b'{"status":"ok"}') == 1


def test_another_tenant_has_no_route_in(url: str, redis: Redis) -> None:
    mine, other = (
        {"Authorization": f"Bearer {ApiKeys(redis).create(name)[1]}"} for name in ("mine", "other")
    )
    job = httpx.put(f"{url}/v1/jobs/chapter-1", json=VALID_JOB, headers=mine).json()["id"]
    line = json.dumps({"custom_id": "1", "url": "/v1/jobs", "body": VALID_JOB})
    jsonl = {**mine, "Content-Type": "application/jsonl"}
    batch = httpx.post(f"{url}/v1/batches", content=line, headers=jsonl).json()["id"]
    form = {"name": "Me", "consent": "mine"}
    sample = {"audio_sample": ("me.wav", recording(3.0))}
    kept = httpx.post(f"{url}/v1/audio/voices", data=form, files=sample, headers=mine).json()
    theirs = {
        "job_id": [job],
        "batch_id": [batch],
        "voice_id": [kept["id"], "Me"],
    }
    listed = httpx.get(f"{url}/v1/jobs", headers=mine).json()["data"]
    assert len(listed) == 2
    theirs["job_id"] += cast(list[str], redis.zrange("tts:jobs", 0, -1))
    tried = 0
    for method, path in operations(url):
        (name, *_) = re.findall(r"\{(\w+_id)\}", path) or [""]
        for known in theirs.get(name, ()) if method != "PUT" else ():
            target = path.replace(f"{{{name}}}", known).replace("{number}", "1")
            refused = httpx.request(method, url + target, headers=other)
            assert refused.status_code == 404, (method, target, refused.text)
            assert httpx.request(method, url + target).status_code == 401
            tried += 1
    assert tried >= 35
    assert httpx.get(f"{url}/v1/jobs/{job}", headers=mine).json()["status"] == "queued"
    assert httpx.get(f"{url}/v1/batches/{batch}", headers=mine).json()["status"] == "in_progress"
    cloned = {"task": "voice_clone", "voice": kept["id"], "input": "Hi."}
    stolen = httpx.post(f"{url}/v1/jobs", json=cloned, headers=other)
    assert (stolen.status_code, stolen.json()["error"]["param"]) == (400, "voice")
    seen = httpx.get(f"{url}/v1/audio/voices", headers=other).json()["voices"]
    assert "cloned" not in {each["kind"] for each in seen}
    secrets = {
        httpx.get(f"{url}/v1/webhooks/default/secret", headers=who).json()["key"]
        for who in (mine, other)
    }
    assert len(secrets) == 2


def test_a_wrong_key_is_compared_like_a_right_one(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = ApiKeys(redis)
    _, token = table.create("k")
    compared: list[tuple[int, int]] = []
    compare = hmac.compare_digest

    def counted(a: Any, b: Any) -> bool:
        compared.append((len(a), len(b)))
        return compare(a, b)

    monkeypatch.setattr(hmac, "compare_digest", counted)
    for tried in (token, token[:-1] + "?", "tts_nobody_" + "x" * 43, "", token[:20], "x" * 10_000):
        table.look().find(tried)
    assert compared == [(64, 64)] * 6
