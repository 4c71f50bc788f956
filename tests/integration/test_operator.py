"""An operator's exercise: a poisoned text is found, and spoken once the fault is gone."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from client import Narrator
from client.cli import main
from client.errors import JobFailed
from client.local.stack import Stack
from client.operator import Operator
from tests.support.paths import ROOT
from tests.support.processes import wait_until

pytestmark = pytest.mark.integration
MODEL = "tiny-CustomVoice"
SCRIPT = Path(__file__).with_name("poisoned_worker.py")
TEXT = "The first part is fine.\n\nThe second one has poison in it.\n\nThe third part is fine, too."


@contextmanager
def poisoned_worker(stack: Stack, operator: Operator, log: Path) -> Iterator[None]:
    """In place of the healthy worker, which is drained meanwhile."""
    (healthy,) = workers(operator)
    env = os.environ | {
        "TTS_REDIS_URL": stack.redis.url,
        "TTS_STORAGE_URL": (stack.data / "results").as_uri(),
        "PYTHONPATH": str(ROOT),
    }
    with log.open("wb") as output:
        command = [sys.executable, str(SCRIPT), "--model", MODEL]
        process = subprocess.Popen(command, env=env, stdout=output, stderr=output)
    try:
        wait_until(lambda: len(workers(operator)) == 2 or process.poll() is not None, 120)
        assert process.poll() is None, log.read_text()
        assert main(["admin", "drain", healthy, "--url", stack.url]) == 0
        wait_until(lambda: state_of(operator, healthy) == "drained", 60)
        yield
    finally:
        process.terminate()
        process.wait(60)
        assert main(["admin", "resume", healthy, "--url", stack.url]) == 0


def workers(operator: Operator) -> list[str]:
    return [
        worker["id"]
        for worker in operator.get("workers")["data"]
        if worker["info"] and MODEL in worker["info"]["models"]
    ]


def state_of(operator: Operator, worker: str) -> str:
    found = operator.get("workers")["data"]
    return str(next(each["state"] for each in found if each["id"] == worker))


def fail(narrator: Narrator) -> str:
    """Submit the poisoned text, of which the parts are segments; returns its job, which failed."""
    job = narrator.submit(TEXT, voice="vivian").id
    with pytest.raises(JobFailed, match="poisoned"):
        narrator.wait(job)
    return job


def curl(url: str, *options: str) -> Any:
    done = subprocess.run(
        ["curl", "-sS", "--fail-with-body", *options, url], capture_output=True, check=True
    )
    return json.loads(done.stdout)


def attempts(stack: Stack, job: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The segments that were claimed, in order of their numbers."""
    assert main(["logs", job, "--url", stack.url]) == 0
    return sorted(re.findall(r"segment (\d+) +claimed", capsys.readouterr().out))


def is_whole(narrator: Narrator, job: str, file: Path) -> None:
    done = narrator.wait(job)
    assert (done.segments.completed, done.segments.total) == (3, 3)
    content = narrator.download(job, file).read_bytes()
    with wave.open(io.BytesIO(content)) as audio:
        assert done.audio is not None
        seconds = audio.getnframes() / audio.getframerate()
        assert seconds == pytest.approx(done.audio.seconds, abs=0.01)


def test_a_poisoned_text_is_found_and_its_segment_retried(
    stack: Stack, narrator: Narrator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Operator(stack.url) as operator:
        with poisoned_worker(stack, operator, tmp_path / "worker.log"):
            by_command, by_curl = fail(narrator), fail(narrator)
        found_by_command(stack, by_command, capsys)
        found_by_curl(stack, by_curl)
        before = attempts(stack, by_command, capsys)
        assert main(["admin", "retry", by_command, "--url", stack.url]) == 0
        is_whole(narrator, by_command, tmp_path / "command.wav")
        # What was spoken is kept: each segment but the poisoned one was committed once.
        entries = narrator.history(by_command).entries
        claimed_after = attempts(stack, by_command, capsys)
        assert "retried" in [entry.event for entry in entries]
        assert claimed_after.count("1") == before.count("1") + 1
        curl(f"{stack.url}/v1/admin/jobs/{by_curl}/retry", "-X", "POST")
        is_whole(narrator, by_curl, tmp_path / "curl.wav")
        done = [(each["action"], each["target"]) for each in operator.get("audit")["data"]]
        assert done[:2] == [("retry", by_curl), ("retry", by_command)]


def found_by_command(stack: Stack, job: str, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["top", "--once", "--url", stack.url]) == 0
    (line,) = [each for each in capsys.readouterr().out.splitlines() if each.startswith(job)]
    assert "segment 1" in line
    assert main(["admin", "job", job, "--url", stack.url]) == 0
    told = capsys.readouterr().out
    assert re.search(r"^reason +synthesis_failed: ValueError: poisoned$", told, re.MULTILINE)
    assert "The second one has poison in it." in told


def found_by_curl(stack: Stack, job: str) -> None:
    found = curl(f"{stack.url}/v1/admin/jobs?status=failed&code=synthesis_failed")["data"]
    failed = next(each for each in found if each["id"] == job)
    assert failed["error"]["message"] == "ValueError: poisoned"
    assert failed["failed_segment"]["segment"] == "1"
    assert failed["failed_segment"]["text"] == "The second one has poison in it."
