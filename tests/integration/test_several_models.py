"""One worker process with two models: within a budget that holds one of them, or both."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from client import Narrator
from client.local.stack import Stack
from client.models import Job
from shared.store.connection import connect
from tests.support.audio_files import pcm
from tests.support.processes import wait_until
from worker.engine.precision import Precision
from worker.model import catalogue
from worker.model.loading import find_checkpoint
from worker.model.size import GIB, weight_bytes

pytestmark = pytest.mark.integration

GREEDY = {"do_sample": False, "subtalker_dosample": False, "max_new_tokens": 60}
# The options of a job for each model.
JOBS: dict[str, dict[str, Any]] = {
    "tiny-CustomVoice": {"task": "custom_voice", "voice": "vivian"},
    "tiny-VoiceDesign": {"task": "voice_design", "instructions": "A warm, low voice"},
}
TEXT = "\n\n".join(f"Paragraph {n}, and more to come." for n in range(12))


@pytest.fixture
def one_model_gib() -> float:
    """A budget that holds each of the models, and not both."""
    sizes = [
        weight_bytes(find_checkpoint(catalogue.locate(model)), Precision.FLOAT32) for model in JOBS
    ]
    assert sum(sizes) > 1.5 * max(sizes)
    return 1.5 * max(sizes) / GIB


@contextmanager
def running(folder: Path, model_memory: float) -> Iterator[Stack]:
    with Stack(
        list(JOBS), data=folder / "data", port=0, model_memory=model_memory, logs_to_files=True
    ) as stack:
        stack.wait_ready(240)
        assert len(stack.worker_children) == 1
        yield stack


def submit_all(narrator: Narrator) -> dict[str, Job]:
    return {
        model: narrator.submit(TEXT, model=model, sampling=GREEDY, **options)
        for model, options in JOBS.items()
    }


def audio(narrator: Narrator, jobs: dict[str, Job], folder: Path) -> dict[str, bytes]:
    """The whole audio of each job once it is completed."""
    found = {}
    for model, job in jobs.items():
        done = narrator.wait(job.id)
        assert done.segments.completed == done.segments.total == 12
        path = narrator.download(job.id, folder / f"{job.id}.wav")
        found[model] = pcm(path).tobytes()
    return found


def log_of(stack: Stack) -> str:
    (path,) = stack.logs.glob("worker-*.log")
    return path.read_text()


def attempts(redis: Redis, jobs: dict[str, Job]) -> list[int]:
    keys = [f"tts:segment:{job.id}:{n}" for job in jobs.values() for n in range(12)]
    return [int(redis.hget(key, "attempts") or 0) for key in keys]


def test_models_that_do_not_fit_together_take_turns(tmp_path: Path, one_model_gib: float) -> None:
    with running(tmp_path, one_model_gib) as stack, Narrator(stack.url) as narrator:
        # Both are served, though one is loaded.
        assert {model.id: model.workers for model in narrator.models()} == dict.fromkeys(JOBS, 1)
        at_start = log_of(stack).count("Successfully loaded")
        assert at_start == 2
        jobs = submit_all(narrator)
        first = audio(narrator, jobs, tmp_path)
        with connect(stack.redis.url) as redis:
            # What waited for its model to be loaded has not lost an attempt by it.
            assert attempts(redis, jobs) == [1] * 24
        # Each had a time slice, or two, and none was loaded for a segment.
        assert 1 <= log_of(stack).count("Successfully loaded") - at_start <= 4
        assert "Dropped tiny-CustomVoice" in log_of(stack)

        again = submit_all(narrator)
        wait_until(lambda: any(narrator.job(job.id).segments.completed for job in again.values()))
        stack.worker_children[0].kill()
        deadline = time.monotonic() + 240
        while not all(narrator.job(job.id).ended for job in again.values()):
            stack.restart_ended()
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert audio(narrator, again, tmp_path) == first
        assert "Traceback" not in log_of(stack)


def test_models_that_fit_together_are_spoken_with_at_once(tmp_path: Path) -> None:
    with running(tmp_path, 1.0) as stack, Narrator(stack.url) as narrator:
        jobs = submit_all(narrator)
        statuses = set()

        def have_ended() -> bool:
            now = [narrator.job(job.id) for job in jobs.values()]
            statuses.add(tuple(job.status for job in now))
            return all(job.ended for job in now)

        wait_until(have_ended, 120)
        audio(narrator, jobs, tmp_path)
        assert ("in_progress", "in_progress") in statuses
        log = log_of(stack)
        assert log.count("Successfully loaded") == 2
        assert "Dropped" not in log
        stack.worker_children[0].terminate()
        wait_until(lambda: stack.worker_children[0].exit_code is not None, 60)
        assert stack.worker_children[0].exit_code == 0
        with connect(stack.redis.url) as redis:
            assert [redis.zcard(f"tts:workers:{model}") for model in JOBS] == [0, 0]


def test_a_budget_that_holds_no_model_is_an_error_that_names_it(tmp_path: Path) -> None:
    with Stack(
        list(JOBS), data=tmp_path / "data", port=0, model_memory=0.001, logs_to_files=True
    ) as stack:
        wait_until(lambda: stack.worker_children[0].exit_code is not None, 60)
        assert stack.worker_children[0].exit_code == 1
        last = log_of(stack).splitlines()[-1]
        assert last.startswith("error: tiny-CustomVoice takes 0.0")
        assert "TTS_MODEL_MEMORY is 0.001 GiB: raise it" in last
