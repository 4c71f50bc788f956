"""Any server may run the application: without keys it answers on this machine only."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis import Redis

from api.http.loopback import is_exposed
from client.local.ports import free_port
from client.local.redis_server import RedisServer
from shared.store.api_keys import ApiKeys
from tests.support.processes import wait_until


def other_address(elsewhere: str) -> str | None:
    """An address of this machine that others can reach, found without a packet being sent."""
    family = socket.AF_INET6 if ":" in elsewhere else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((elsewhere, 9))
        except OSError:
            return None
        return str(probe.getsockname()[0])


# Each family's every address, its loopback ones, and one that others can reach.
FAMILIES = [
    pytest.param(
        every,
        loopback,
        other_address(elsewhere),
        marks=pytest.mark.skipif(other_address(elsewhere) is None, reason="loopback alone"),
        id=every,
    )
    for every, loopback, elsewhere in (
        ("0.0.0.0", ("127.0.0.1", "127.0.0.2"), "192.0.2.1"),
        ("::", ("::1",), "2001:db8::1"),
    )
]
in_each_family = pytest.mark.parametrize(("every", "loopback", "other"), FAMILIES)


@contextmanager
def uvicorn(redis_url: str, folder: Path, *options: str, **settings: str) -> Iterator[int]:
    """The plain `uvicorn` of the command line at a free port."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "api.app:create_app", "--factory"]
    command += ["--port", str(port), *options]
    env = os.environ | {"TTS_REDIS_URL": redis_url, "TTS_STORAGE_URL": folder.as_uri()} | settings
    with (folder / "uvicorn.log").open("wb") as log:
        server = subprocess.Popen(command, env=env, stdout=log, stderr=log)
    try:
        running = b"Uvicorn running on"
        wait_until(lambda: running in (folder / "uvicorn.log").read_bytes(), 60)
        yield port
    finally:
        server.terminate()
        server.wait(30)


def get(host: str, port: int, path: str = "/v1/queue", **headers: str) -> httpx.Response:
    name = f"[{host}]" if ":" in host else host
    return httpx.get(f"http://{name}:{port}{path}", headers=headers, timeout=30)


@in_each_family
def test_without_keys_only_this_machine_is_answered(
    redis: Redis,
    redis_server: RedisServer,
    tmp_path: Path,
    every: str,
    loopback: tuple[str, ...],
    other: str,
) -> None:
    with uvicorn(redis_server.url, tmp_path, "--host", every) as port:
        for host in loopback:
            assert get(host, port).status_code == 200
        for path in ("/v1/queue", "/v1/jobs", "/", "/docs", "/healthz", "/no/such"):
            refused = get(other, port, path)
            assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")
            assert "narrate keys create" in refused.json()["error"]["message"]
            assert refused.headers["x-request-id"]
        # Neither a name nor a proxy's word makes it this machine.
        for headers in (
            {"X-Forwarded-For": "127.0.0.1"},
            {"Forwarded": "for=127.0.0.1"},
            {"Host": "localhost"},
            {"Authorization": "Bearer made-up"},
        ):
            assert get(other, port, **headers).status_code == 403
        _, token = ApiKeys(redis).create("phone")
        wait_until(lambda: get(loopback[0], port).status_code == 401)
        assert get(other, port).status_code == 401
        assert get(other, port, Authorization=f"Bearer {token}").status_code == 200


@in_each_family
@pytest.mark.parametrize("auth", ["open", "required"])
def test_what_is_chosen_is_served_everywhere(
    redis: Redis,
    redis_server: RedisServer,
    tmp_path: Path,
    auth: str,
    every: str,
    loopback: tuple[str, ...],
    other: str,
) -> None:
    assert not ApiKeys(redis).exist()
    with uvicorn(redis_server.url, tmp_path, "--host", every, TTS_AUTH=auth) as port:
        for host in (*loopback, other):
            assert get(host, port).status_code == (200 if auth == "open" else 401)
            assert get(host, port, "/healthz").status_code == 200


@in_each_family
def test_while_redis_is_away_others_are_told_so(
    tmp_path: Path, every: str, loopback: tuple[str, ...], other: str
) -> None:
    away = f"redis://127.0.0.1:{free_port()}/0"
    with uvicorn(away, tmp_path, "--host", every) as port:
        assert get(loopback[0], port, "/healthz").status_code == 200
        refused = get(other, port, "/healthz")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")


@pytest.mark.usefixtures("redis")
def test_a_unix_socket_is_this_machine(redis_server: RedisServer, tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with (
        uvicorn(redis_server.url, tmp_path, "--uds", path),
        httpx.Client(transport=httpx.HTTPTransport(uds=path)) as client,
    ):
        assert client.get("http://localhost/v1/queue").status_code == 200


@pytest.mark.parametrize(
    ("scope", "exposed"),
    [
        ({"server": ("127.0.0.1", 80), "client": ("192.0.2.7", 5)}, False),  # a proxy's word
        ({"server": ("192.0.2.1", 80), "client": ("127.0.0.1", 5)}, True),
        ({"server": ("::ffff:127.0.0.1", 80)}, False),
        ({"server": ("::ffff:192.0.2.1", 80)}, True),
        ({"server": ("fe80::1%eth0", 80)}, True),
        ({"server": ("0.0.0.0", 80), "client": ("127.0.0.1", 5)}, True),
        ({"server": ("/run/socket", None), "client": None}, False),
        ({"server": None, "client": ("192.0.2.7", 5)}, True),
        ({"server": None, "client": ("127.0.0.9", 5)}, False),
        ({"server": ("tts.example", 80), "client": ("192.0.2.7", 5)}, True),
        ({"server": None, "client": None}, False),
        ({}, False),
    ],
)
def test_the_address_that_a_request_came_to_decides(scope: dict[str, Any], exposed: bool) -> None:
    assert is_exposed(scope) is exposed
