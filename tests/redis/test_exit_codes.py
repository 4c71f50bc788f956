"""The ends of processes, by signal and by mistake: the table of docs/operations.md."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from redis import Redis

from client.local.ports import free_port
from client.local.redis_server import RedisServer
from tests.support.paths import ROOT
from tests.support.processes import wait_until

# Empty for each test: Redis knows the storage of the test before.
pytestmark = pytest.mark.usefixtures("redis")
STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@contextmanager
def api(redis_url: str, folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    port = free_port()
    command = [sys.executable, "-m", "api", "--port", str(port), *options]
    env = os.environ | {"TTS_REDIS_URL": redis_url, "TTS_STORAGE_URL": folder.as_uri()}
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as process:
        try:
            wait_until(lambda: is_alive(port) or process.poll() is not None, 60)
            assert process.poll() is None, process.communicate()[1]
            yield process, port
        finally:
            process.kill()


def is_alive(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("processes", ["1", "2"])
@pytest.mark.parametrize("number", STOPS)
def test_the_api_that_is_told_to_stop_has_done_well(
    redis_server: RedisServer, tmp_path: Path, number: signal.Signals, processes: str
) -> None:
    with api(redis_server.url, tmp_path, "--workers", processes) as (process, port):
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
        assert process.returncode == 0
        assert [line for line in said.splitlines() if " INFO " not in line] == []
        assert not is_alive(port)


def test_the_api_starts_while_redis_is_away(tmp_path: Path) -> None:
    with api(f"redis://127.0.0.1:{free_port()}/0", tmp_path) as (process, port):
        assert httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 503
        process.terminate()
        assert process.wait(30) == 0


def run(module: str, *options: str, **settings: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", module, *options]
    env = os.environ | {"TTS_REDIS_URL": "redis://127.0.0.1:1/0"} | settings
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("processes", ["1", "2"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])
def test_a_port_in_use_is_one_sentence(host: str, processes: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        options = ("--host", host, "--port", port, "--workers", processes)
        ran = run("api", *options, TTS_AUTH="open")
    assert ran.returncode == 1
    *before, last = ran.stderr.splitlines()
    assert last == f"error: {host}:{port} cannot be listened on: Address already in use"
    assert all(" INFO " in line for line in before), before


@pytest.mark.parametrize(
    ("module", "options", "settings", "code", "says"),
    [
        ("api", ("--prot", "1"), {}, 2, "unrecognized arguments"),
        ("api", (), {"TTS_LEASE_S": "0"}, 1, "error: TTS_LEASE_S='0'"),
        ("api", ("--host", "0.0.0.0"), {}, 1, "error: Redis does not answer"),
        ("api", ("--host", "192.0.2.99"), {"TTS_AUTH": "open"}, 1, "cannot be listened on"),
        ("api", ("--host", "no.such.invalid"), {"TTS_AUTH": "open"}, 1, "cannot be listened on"),
        ("api.keys", ("list",), {}, 1, "narrate: Redis does not answer"),
        ("api.models", ("list",), {}, 1, "narrate: Redis does not answer"),
        ("api.models", ("forget",), {}, 2, "required: id"),
        ("api.storage", ("chek",), {}, 2, "invalid choice"),
        (
            "api.storage",
            ("check",),
            {"TTS_STORAGE_URL": "file:///nowhere"},
            1,
            "error: there is no",
        ),
        ("api.storage", (), {"TTS_STORAGE_URL": ROOT.as_uri()}, 1, "error: Redis does not answer"),
        ("worker", ("--slot",), {}, 2, "expected one argument"),
        ("worker", ("--slots", "0"), {}, 1, "error: TTS_SLOTS='0'"),
        ("worker.health", (), {}, 1, "unhealthy: Redis does not answer"),
        ("client", ("status",), {}, 2, "required: JOB"),
        ("client", ("status", "job_1", "--url", "http://127.0.0.1:1"), {}, 1, "no server at"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    module: str, options: tuple[str, ...], settings: dict[str, str], code: int, says: str
) -> None:
    ran = run(module, *options, **settings)
    assert (ran.returncode, ran.stdout) == (code, "")
    assert says in ran.stderr
    assert "Traceback" not in ran.stderr


# As after `pip install .[api]`, which lacks what the client imports.
WITHOUT_CLIENT = """
import sys
sys.modules["client.cli"] = None
from shared.narrate import main
sys.exit(main())
"""


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (("keys", "list"), 0, ""),
        (("models", "list"), 0, ""),
        (("models", "forget", "none"), 1, "narrate: no model 'none'"),
        (("say", "x"), 1, "pip install 'qwen-tts-queue[client]'"),
        ((), 1, "pip install 'qwen-tts-queue[client]'"),
    ],
)
def test_without_the_client_the_commands_of_the_server_are_there(
    options: tuple[str, ...], code: int, says: str, redis_server: RedisServer
) -> None:
    command = [sys.executable, "-c", WITHOUT_CLIENT, *options]
    env = os.environ | {"TTS_REDIS_URL": redis_server.url}
    ran = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert ran.returncode == code, ran.stderr
    assert says in ran.stderr
    assert ran.stdout.startswith("ID") is (code == 0)


def test_without_a_key_nobody_else_is_listened_to(redis: Redis, redis_server: RedisServer) -> None:
    assert redis.dbsize() == 0
    ran = run("api", "--host", "0.0.0.0", TTS_REDIS_URL=redis_server.url)
    assert ran.returncode == 1
    assert ran.stderr.startswith("error: without keys, 0.0.0.0 is not listened on")


@pytest.mark.integration
@pytest.mark.parametrize("number", STOPS)
def test_a_worker_that_is_told_to_stop_has_done_well(
    redis: Redis, redis_server: RedisServer, tmp_path: Path, number: signal.Signals
) -> None:
    log = tmp_path / "worker.log"
    env = os.environ | {"TTS_REDIS_URL": redis_server.url, "TTS_STORAGE_URL": tmp_path.as_uri()}
    with log.open("wb") as output:
        worker = subprocess.Popen(
            [sys.executable, "-m", "worker", "--model", "tiny"],
            env=env,
            stdout=output,
            stderr=output,
        )
    try:
        wait_until(lambda: redis.exists("tts:workers:tiny-CustomVoice"), 120)
        wait_until(lambda: redis.exists("_kombu.binding.tts.tiny-CustomVoice"), 60)
        worker.send_signal(number)
        assert worker.wait(60) == 0, log.read_text()
        wait_until(lambda: not redis.exists("tts:workers:tiny-CustomVoice"))
    finally:
        worker.kill()
        worker.wait()
    assert "Traceback" not in log.read_text()
    assert "Restarting" not in log.read_text()


# Its own start, without torch.
START = """
import gc, sys, time, types
main = types.ModuleType("worker.app")
main.serve = lambda settings: print({prints}, flush=True) or time.sleep({seconds}) or 0
sys.modules["worker.app"] = main
from worker.__main__ import main
main()
"""


def start_of_a_worker(folder: Path, prints: str, seconds: int) -> tuple[list[str], dict[str, str]]:
    """The command and the environment of a worker that prints something instead of serving."""
    env = {"TTS_REDIS_URL": "redis://127.0.0.1:1/0", "TTS_STORAGE_URL": folder.as_uri()}
    code = START.format(prints=prints, seconds=seconds)
    return [sys.executable, "-c", code], os.environ | env


def test_a_worker_looks_for_garbage_but_not_in_what_it_imported(tmp_path: Path) -> None:
    command, env = start_of_a_worker(tmp_path, "gc.isenabled(), gc.get_freeze_count() > 10_000", 0)
    ran = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stdout) == (0, "True True\n"), ran.stderr


@pytest.mark.parametrize("number", STOPS)
def test_a_worker_that_still_loads_stops_at_once(tmp_path: Path, number: signal.Signals) -> None:
    log = tmp_path / "worker.log"
    command, env = start_of_a_worker(tmp_path, "'loads'", 60)
    with log.open("wb") as output:
        worker = subprocess.Popen(command, env=env, stdout=output)
    try:
        wait_until(lambda: b"loads" in log.read_bytes(), 120)
        worker.send_signal(number)
        assert worker.wait(10) == 0
    finally:
        worker.kill()
        worker.wait()


@pytest.mark.parametrize("processes", [1, 2])
def test_an_application_that_does_not_start_is_an_error(processes: int) -> None:
    asked = f"host='127.0.0.1', port={free_port()}, workers={processes}, factory=True"
    code = f"from api import serving; serving.run('no_such_module:app', {asked})"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 1, ran.stderr
