"""Bodies in memory have a limit in all, and each owner has half of it."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import httpx
import pytest
from redis import Redis

from api.http import body_budget
from shared.models import ModelCard
from shared.settings import Settings
from shared.store.api_keys import ApiKeys
from tests.support.live_server import serving
from tests.support.processes import wait_until
from tests.support.registered_workers import sign_in
from tests.support.valid_job import VALID_JOB

MIB = 2**20


@pytest.fixture
def url(
    settings: Settings, redis: Redis, card: ModelCard, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    sign_in(redis, card)
    monkeypatch.setattr(body_budget, "WAIT_S", 0.3)
    monkeypatch.setattr("shared.store.api_keys.MAX_TABLE_AGE_S", 0.0)
    bounds = {"max_body_bytes": 4 * MIB, "max_bodies_bytes": 8 * MIB, "max_input_chars": 4 * MIB}
    with serving(settings.model_copy(update=bounds)) as url:
        yield url


def large(headers: dict[str, str]) -> tuple[bytes, bytes]:
    """The head and the body of a request of 3 MiB."""
    body = json.dumps(VALID_JOB | {"input": " " * 3 * MIB + "Hi."}).encode()
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = (
        f"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{lines}"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode(), body


class Sending:
    """A request whose last byte is missing."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        parts = urlsplit(url)
        head, body = large(headers)
        self._last = body[-1:]
        self.socket = socket.create_connection((parts.hostname, parts.port), timeout=20)
        self.socket.sendall(head + body[:-1])

    def __enter__(self) -> Sending:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def finish(self) -> int:
        self.socket.sendall(self._last)
        return int(self.socket.recv(65_536).split(b" ", 2)[1])


def post(url: str, headers: dict[str, str]) -> httpx.Response:
    _, body = large({})
    kind = {"Content-Type": "application/json"}
    return httpx.post(f"{url}/v1/jobs", content=body, headers=headers | kind, timeout=20)


def is_full(url: str, headers: dict[str, str]) -> bool:
    try:
        answer = post(url, headers)
    except (httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):
        return True  # refused while we were still sending
    if answer.status_code == 202:
        return False
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "too_many_bodies")
    assert 1 <= int(answer.headers["retry-after"]) <= 120
    return True


def test_bodies_in_memory_have_a_limit(url: str) -> None:
    assert not is_full(url, {})
    with Sending(url, {}) as first, Sending(url, {}) as second:
        wait_until(lambda: is_full(url, {}), 20)
        assert httpx.get(f"{url}/v1/jobs").status_code == 200
        assert (
            httpx.post(f"{url}/v1/jobs", json=VALID_JOB).status_code == 202
        )  # a small one has room
        assert first.finish() == second.finish() == 202
        wait_until(lambda: not is_full(url, {}), 20)


def test_the_bytes_of_a_client_that_leaves_are_given_back(url: str) -> None:
    with Sending(url, {}), Sending(url, {}):
        wait_until(lambda: is_full(url, {}), 20)
    wait_until(lambda: not is_full(url, {}), 20)


def test_an_owner_has_half_of_it(url: str, redis: Redis) -> None:
    ann, ben = (
        {"Authorization": f"Bearer {ApiKeys(redis).create(name)[1]}"} for name in ("ann", "ben")
    )
    with Sending(url, ann):
        wait_until(lambda: is_full(url, ann), 20)
        assert not is_full(url, ben)


def test_a_body_waits_a_moment_for_room(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with ExitStack() as sending:
        held = [sending.enter_context(Sending(url, {})) for _ in range(2)]
        wait_until(lambda: is_full(url, {}), 20)
        monkeypatch.setattr(body_budget, "WAIT_S", 20.0)
        waits = sending.enter_context(Sending(url, {}))
        assert held[0].finish() == 202
        assert waits.finish() == 202
