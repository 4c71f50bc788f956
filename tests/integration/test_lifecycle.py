"""Starting, stopping and losing processes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from redis import Redis
from redis.exceptions import RedisError

from client import Narrator
from client.errors import JobFailed, ServerUnreachable
from client.local.redis_server import RedisServer
from client.local.stack import Stack
from shared.store.connection import connect
from tests.support.audio_files import pcm
from tests.support.processes import alive, wait_until

pytestmark = pytest.mark.integration

GREEDY = {"do_sample": False, "subtalker_dosample": False}
TEXT = "\n\n".join(f"Paragraph {n}, and more to come." for n in range(24))


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    data = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TTS_LEASE_S", "5")  # what a dead worker held is found sooner
        with Stack(["tiny"], data=data, port=0, workers=2, logs_to_files=True) as stack:
            stack.wait_ready(120)
            yield stack


def test_a_job_and_its_listener_outlive_the_worker_that_had_it(
    two_workers: Stack, tmp_path: Path
) -> None:
    asked = {"voice": "vivian", "response_format": "pcm", "input": TEXT}
    url = f"{two_workers.url}/v1/audio/speech"
    with (
        Narrator(two_workers.url) as narrator,
        httpx2.stream("POST", url, json=asked, timeout=60) as answer,
    ):
        sound, live_id = answer.iter_bytes(), answer.headers["x-job-id"]
        heard = [next(sound)]  # others of its segments are being spoken now, too
        job = narrator.submit(TEXT, task="custom_voice", voice="vivian", sampling=GREEDY)
        wait_until(lambda: narrator.job(job.id).status == "in_progress")
        time.sleep(0.5)  # some of its segments are being spoken now
        two_workers.worker_children[0].kill()
        heard += sound
        live = narrator.wait(live_id)
        stored = pcm(narrator.download(live_id, tmp_path / "live.wav"))
        done = narrator.wait(job.id)
        assert done.segments.completed == done.segments.total == 24
        interrupted = pcm(narrator.download(job.id, tmp_path / "a.wav"))
        again = narrator.submit(TEXT, task="custom_voice", voice="vivian", sampling=GREEDY)
        narrator.wait(again.id)
        whole = pcm(narrator.download(again.id, tmp_path / "b.wav"))
    assert interrupted.tobytes() == whole.tobytes()
    assert b"".join(heard) == stored.tobytes()
    assert "2" in attempts(two_workers, live_id, live.segments.total)


def attempts(stack: Stack, job_id: str, segments: int) -> set[str | None]:
    with connect(stack.redis.url) as redis:
        keys = [f"tts:segment:{job_id}:{index}" for index in range(segments)]
        return {redis.hget(key, "attempts") for key in keys}


def test_a_job_is_cancelled_while_it_is_spoken(two_workers: Stack) -> None:
    with Narrator(two_workers.url) as narrator:
        job = narrator.submit(TEXT, task="custom_voice", voice="vivian", sampling=GREEDY)
        wait_until(lambda: narrator.job(job.id).status == "in_progress")
        assert narrator.cancel(job.id).status == "cancelled"
        with pytest.raises(JobFailed, match="cancelled"):
            narrator.wait(job.id)
        next_one = narrator.submit("Hello.", task="custom_voice", voice="vivian", sampling=GREEDY)
        assert narrator.wait(next_one.id).status == "completed"
        assert narrator.cancel(next_one.id).status == "completed"


def run_worker(model: str, redis_url: str, folder: Path) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"TTS_REDIS_URL": redis_url, "TTS_STORAGE_URL": folder.as_uri()}
    return subprocess.run(
        [sys.executable, "-m", "worker", "--model", model],
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("model", ["nobody/has-this-model", "./no/such/folder"])
def test_a_worker_without_a_model_says_so_and_consumes_nothing(model: str, tmp_path: Path) -> None:
    with RedisServer(tmp_path / "redis", log=tmp_path / "redis.log") as redis:
        ran = run_worker(model, redis.url, tmp_path)
        with connect(redis.url) as connection:
            # Neither signed in nor bound to a queue: it has looked at Redis and the storage only.
            looked = {"tts:ledger", "tts:probe", "tts:storage_id"}
            assert set(connection.scan_iter()) <= looked
    assert ran.returncode == 1
    assert ran.stdout == ""
    *logged, said = ran.stderr.splitlines()
    assert said.startswith("error: ")
    assert model.rsplit("/", 1)[1] in said
    assert "Traceback" not in ran.stderr
    assert all(" INFO " in line for line in logged), logged


def test_a_bad_setting_of_a_worker_is_one_line() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "worker", "--slots", "none"], capture_output=True, text=True
    )
    assert (ran.returncode, len(ran.stderr.splitlines())) == (1, 1)
    assert "TTS_SLOTS='none'" in ran.stderr


@contextmanager
def narrate_up(folder: Path, **settings: str) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A `narrate up` that is ready, and its log."""
    command = [sys.executable, "-m", "client", "up", "--model", "tiny", "--port", "0"]
    log, env = folder / "up.log", os.environ | settings
    with log.open("wb") as output:
        up = subprocess.Popen(
            [*command, "--data", folder / "data"], stdout=output, stderr=output, env=env
        )
    try:
        wait_until(lambda: b"Ready on" in log.read_bytes() or up.poll() is not None, 120)
        assert up.poll() is None, log.read_text()
        yield up, log
    finally:
        up.kill()
        up.wait()


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_narrate_up_takes_everything_down_with_it(end: signal.Signals, tmp_path: Path) -> None:
    with narrate_up(tmp_path) as (up, log):
        children = child_pids(up.pid)
        assert len(children) == 3
        up.send_signal(end)
        assert up.wait(60) == (0 if end != signal.SIGKILL else -9), log.read_text()
        wait_until(lambda: not any(map(alive, children)), 30)
    assert "Traceback" not in log.read_text()


def test_narrate_up_brings_the_api_and_redis_back(tmp_path: Path) -> None:
    with narrate_up(tmp_path, TTS_LEASE_S="5") as (up, log):
        url = re.findall(rb"Ready on (\S+)", log.read_bytes())[0].decode()
        redis_url = (tmp_path / "data" / "redis.url").read_text()
        jobs = []
        for killed in ("api", "redis"):
            jobs.append(submit_once_it_answers(url))
            os.kill(child_of(up.pid, killed), signal.SIGKILL)
        with connect(redis_url) as redis:  # the port and the password of before
            wait_until(lambda: answers(redis), 30)
        with Narrator(url) as narrator:
            for job_id in jobs:
                done = narrator.wait(job_id)
                assert done.segments.completed == done.segments.total == 24
        children = child_pids(up.pid)
        up.terminate()
        assert up.wait(60) == 0
        wait_until(lambda: not any(map(alive, children)), 30)
    said = log.read_text()
    assert "the API ended on signal 9: its output is above; starting it again" in said
    assert "Redis ended on signal 9: its log is" in said


def submit_once_it_answers(url: str) -> str:
    """A job that is being spoken, accepted within a minute."""
    with Narrator(url) as narrator:
        wait_until(lambda: is_up(narrator), 60)
        job = narrator.submit(TEXT, task="custom_voice", voice="vivian", sampling=GREEDY)
        wait_until(lambda: narrator.job(job.id).status == "in_progress", 60)
    return job.id


def is_up(narrator: Narrator) -> bool:
    try:
        return narrator.live_workers() > 0
    except ServerUnreachable:
        return False


def answers(redis: Redis) -> bool:
    try:
        return bool(redis.ping())
    except RedisError:
        return False


def child_of(pid: int, kind: str) -> int:
    """The process id of a child that lives; Redis writes its own command line."""
    for child in child_pids(pid):
        command = Path(f"/proc/{child}/cmdline").read_text().split("\0")
        if alive(child) and (kind in command[:3] if kind == "api" else "-server" in command[0]):
            return child
    raise AssertionError(f"no {kind} among the children")


def child_pids(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
