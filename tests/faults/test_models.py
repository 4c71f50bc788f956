"""Fault 27: two workers with a model each, under load, while each in turn is killed."""

from __future__ import annotations

import time
from pathlib import Path

from shared.models import model_id
from tests.faults.conftest import REPORT
from tests.faults.service import Service, pid_of, wait_for
from tests.faults.trial import GREEDY, Trial, long_text, times

MODELS = ("tiny", "tiny-VoiceDesign")
SEGMENTS = 6


def submit_designed(trial: Trial) -> str:
    """A job of the model that only the second worker has."""
    asked = {"task": "voice_design", "instructions": "An old man.", "sampling": GREEDY}
    job = trial.narrator.submit(long_text(SEGMENTS), **asked)
    trial.expected[job.id] = "completed"
    return job.id


def speakers(service: Service, job: str) -> set[int]:
    """The processes that spoke the segments of a job."""
    names = (service.redis.hget(f"tts:segment:{job}:{n}", "worker") for n in range(SEGMENTS))
    return {pid_of(name) for name in names if name}


def test_each_model_is_spoken_by_its_own_worker(tmp_path: Path) -> None:
    with Service(tmp_path, models=MODELS) as service:
        trial = Trial(service, REPORT, tmp_path)
        pids: dict[str, set[int]] = {model: set() for model in MODELS}
        with trial.row("27 two models, a worker each; one is killed") as row:
            for number in range(times(10, 2)):
                service.wait_for_workers()
                for model, child in zip(MODELS, service.workers, strict=True):
                    pids[model].add(child.pid)
                jobs = {model: [] for model in MODELS}
                for _ in range(2):
                    jobs[MODELS[0]].append(trial.submit(long_text(SEGMENTS)))
                    jobs[MODELS[1]].append(submit_designed(trial))
                killed = service.workers[number % 2]
                wait_for(lambda killed=killed: service.held_by(killed.pid), 60)
                held = service.held_by(killed.pid)
                began_s = time.monotonic()
                service.kill(killed)
                wait_for(lambda held=held: service.begun_again(held), 60)
                row.recovered(time.monotonic() - began_s)
                service.wait_for_workers()
                for model, child in zip(MODELS, service.workers, strict=True):
                    pids[model].add(child.pid)
                trial.wait(trial.expected)
                for model, sent in jobs.items():
                    assert {trial.job(job).model for job in sent} == {model_id(model)}
                    assert set().union(*(speakers(service, job) for job in sent)) <= pids[model]
            row.note = f"{len(trial.expected)} jobs, half of each model"
        trial.close()
