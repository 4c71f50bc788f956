"""`narrate top`, `narrate admin` and `narrate check`, with workers that speak noise."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import suppress

import httpx
import pytest
from redis import Redis

from client import Narrator
from client.cli import main
from shared.models import ModelCard
from shared.settings import Settings
from tests.support.live_server import serving
from tests.support.paths import ROOT
from tests.support.registered_workers import sign_in
from tests.support.stub_worker import speaking
from tests.support.valid_job import VALID_JOB

MODEL = "tiny-CustomVoice"


@pytest.fixture
def url(settings: Settings, redis: Redis, card: ModelCard) -> Iterator[str]:
    sign_in(redis, card)
    with serving(settings) as url:
        yield url


def submit(url: str, text: str = "Fine.") -> str:
    answer = httpx.post(f"{url}/v1/jobs", json=VALID_JOB | {"input": text})
    return str(answer.raise_for_status().json()["id"])


def failed(url: str) -> str:
    """A job of which the stub cannot speak the text."""
    job = submit(url, "bad")
    with Narrator(url) as narrator, pytest.raises(Exception, match="no voice"):
        narrator.wait(job)
    return job


def test_top_shows_queues_workers_and_the_reason_of_a_failure(
    url: str, settings: Settings, card: ModelCard, capsys: pytest.CaptureFixture[str]
) -> None:
    with speaking(settings, [card]):
        job = failed(url)
        assert main(["top", "--once", "--url", url]) == 0
        screen = capsys.readouterr().out
        assert main(["top", "--once", "--json", "--url", url]) == 0
        overview = json.loads(capsys.readouterr().out)
    assert "0 jobs open" in screen
    assert f"stub of {MODEL}" in screen
    assert screen.index("FAILED JOB") < screen.index("WORKER ")  # of workers there may be many
    (line,) = [line for line in screen.splitlines() if line.startswith(job)]
    assert "segment 0" in line
    assert line.endswith("synthesis_failed: ValueError: no voice")
    assert [each["id"] for each in overview["failed"]] == [job]


def test_top_fits_a_small_terminal_and_ends_by_q(
    url: str, settings: Settings, card: ModelCard
) -> None:
    with speaking(settings, [card]):
        job = failed(url)
        shown = watched(url, until="synthesis_failed", columns=80)
    assert shown.endswith("\x1b[?1049l")  # the screen of before is back
    lines = re.sub(r"\x1b\[[?0-9]*[a-zA-Z]", "", shown).split("\r\n")
    assert max(map(len, lines)) <= 80
    assert "(q ends)" in lines[0]
    (line,) = {line.rstrip() for line in lines if line.startswith(job)}
    assert "synthesis_failed" in line


def watched(url: str, *, until: str, columns: int) -> str:
    """What `narrate top` draws on a terminal until a text is there, and then q is pressed."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))
    environment = os.environ | {"TERM": "xterm", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "client", "top", "--url", url, "--interval", "60"]
    with subprocess.Popen(command, stdin=its, stdout=its, stderr=its, env=environment) as process:
        os.close(its)
        drawn = b""
        try:
            while until.encode() not in drawn:
                drawn += os.read(ours, 65536)
            os.write(ours, b"q")
            with suppress(OSError):  # EIO: its end of the terminal is closed
                while data := os.read(ours, 65536):
                    drawn += data
            assert process.wait(30) == 0
        finally:
            process.kill()
            os.close(ours)
    return drawn.decode()


def test_a_model_is_paused_its_job_told_why_and_resumed(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["admin", "pause", MODEL, "--url", url]) == 0
    job = submit(url)
    assert main(["admin", "job", job, "--url", url]) == 0
    told = capsys.readouterr().out
    assert f"{MODEL} is paused: `narrate admin resume {MODEL}`" in told
    assert main(["admin", "queues", "--url", url]) == 0
    assert "paused since" in capsys.readouterr().out
    assert main(["admin", "resume", MODEL, "--url", url]) == 0
    assert main(["admin", "priority", job, "high", "--url", url]) == 0
    assert main(["admin", "audit", "--json", "--url", url]) == 0
    lines = capsys.readouterr().out.splitlines()
    done = [each["action"] for each in json.loads(lines[-1])["data"]]
    assert done == ["priority high", "resume model", "pause"]


def test_what_cannot_be_undone_is_asked_for(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    job = submit(url)
    assert main(["admin", "purge", MODEL, "--url", url]) == 1
    assert "add --yes" in capsys.readouterr().err
    assert main(["admin", "purge", MODEL, "--yes", "--url", url]) == 0
    assert f"{MODEL}: 1 job cancelled, 0 left" in capsys.readouterr().out
    assert main(["admin", "job", job, "--url", url]) == 0
    assert "it is cancelled" in capsys.readouterr().out
    assert main(["admin", "history", job, "--url", url]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "accepted, 1 segment, request" in lines[0]
    assert lines[-1].endswith("cancelled")


def test_a_worker_is_drained_and_resumed(
    url: str, settings: Settings, card: ModelCard, capsys: pytest.CaptureFixture[str]
) -> None:
    worker = f"stub of {card.id}"
    with speaking(settings, [card]):
        assert main(["admin", "drain", worker, "--url", url]) == 0
        assert main(["admin", "workers", "--url", url]) == 0
        assert "drained" in capsys.readouterr().out
        assert main(["admin", "resume", worker, "--url", url]) == 0
        assert main(["admin", "workers", "--url", url]) == 0
        assert "idle" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["", ".", "../queues", "a//b", "a/.."])
@pytest.mark.parametrize("command", ["job", "history", "requeue", "pause", "drain"])
def test_what_can_be_no_id_asks_no_other_route(
    command: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["admin", command, name, "--url", "http://127.0.0.1:1"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"narrate: there is no {name!r}: copy the id from a list"


@pytest.mark.parametrize("command", ["jobs", "webhooks", "owners", "check"])
def test_every_list_is_shown(url: str, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    submit(url)
    assert main(["admin", command, "--url", url]) == 0
    assert capsys.readouterr().out


def test_check_looks_at_redis_and_the_storage_itself(
    url: str, settings: Settings, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    submit(url)
    monkeypatch.setenv("TTS_REDIS_URL", settings.redis_url)
    monkeypatch.setenv("TTS_STORAGE_URL", settings.storage_url)
    assert main(["check"]) == 0
    told = capfd.readouterr().out
    assert "storage   ok" in told
    monkeypatch.setenv("TTS_AUTH", "required")
    assert main(["check"]) == 1
    assert "keys      PROBLEM" in capfd.readouterr().out
