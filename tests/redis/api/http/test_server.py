"""Several processes at one address."""

from __future__ import annotations

import pickle
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, closing
from pathlib import Path

import httpx
import pytest

from api.http.server import ReusePortSocket
from client.local.ports import free_port
from client.local.redis_server import RedisServer
from tests.support.processes import wait_until

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux deals connections out")


def waiting_at(place: socket.socket) -> int:
    """How many connections were dealt to a socket."""
    place.setblocking(False)
    count = 0
    while True:
        try:
            place.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1


@linux
def test_a_burst_of_connections_is_shared() -> None:
    with closing(ReusePortSocket.take("127.0.0.1", 0)) as place, ExitStack() as clients:
        sockets = [pickle.loads(pickle.dumps(place)) for _ in range(2)]
        for each in sockets:
            each.listen(100)
        for _ in range(64):
            clients.enter_context(socket.create_connection(place.getsockname()))
        dealt = [waiting_at(each) for each in sockets]
        for each in sockets:
            each.close()
    assert sum(dealt) == 64
    assert min(dealt) > 8


@linux
@pytest.mark.parametrize("shared", [True, False])
def test_an_address_that_others_have_is_not_taken(shared: bool) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(shared))
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(OSError, match="in use"):
            ReusePortSocket.take(*other.getsockname())


@linux
@pytest.mark.usefixtures("redis")
def test_several_processes_serve_and_stop(redis_server: RedisServer, tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "api", "--workers", "2", "--port", str(port)]
    env = {"TTS_REDIS_URL": redis_server.url, "TTS_STORAGE_URL": tmp_path.as_uri(), "PATH": ""}
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as api:
        try:
            wait_until(lambda: listeners(port) == 2, 60)
            assert httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
            # Each scrape may reach either process, and counts the requests of both.
            assert [counted(port, "/metrics") for _ in range(6)] == [0, 1, 2, 3, 4, 5]
            assert counted(port, "/healthz") == 1
            again = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
        finally:
            api.send_signal(signal.SIGTERM)
        _, said = api.communicate(timeout=30)
    assert api.returncode == 0
    assert [line for line in said.splitlines() if " INFO " not in line] == []
    assert again.returncode == 1
    assert f"\nerror: 127.0.0.1:{port} cannot be listened on" in again.stderr


def counted(port: int, route: str) -> float:
    """How many requests of a route a scrape has."""
    text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    series = f'tts_http_request_seconds_count{{method="GET",route="{route}",status="2xx"}} '
    rows = (row for row in text.splitlines() if row.startswith(series))
    return float(next(rows, "0").rpartition(" ")[2])


def listeners(port: int) -> int:
    """How many sockets listen at a port, as Linux tells it."""
    rows = [row.split() for row in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]]
    return sum(row[1].endswith(f":{port:04X}") and row[3] == "0A" for row in rows)
