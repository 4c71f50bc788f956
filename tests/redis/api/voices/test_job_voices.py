"""Voices kept from finished jobs: designed, then cloned."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from redis import Redis

from api.app import create_app
from shared.models import ModelCard
from shared.settings import Settings
from shared.speech_model import Task
from shared.store.ledger import Ledger
from shared.store.workers import WorkerRegistry
from tests.support.finished_job import finish

URL = "/v1/audio/voices"
SAILOR = "An old sailor, hoarse and cheerful"
DESIGN = {"task": "voice_design", "instructions": SAILOR, "language": "English"}
TEXT = "\n\n".join(f"This is sentence number {n}, and it goes on." for n in range(20))


@pytest.fixture
def api(settings: Settings, redis: Redis, card: ModelCard) -> Iterator[TestClient]:
    # `finish` speaks the jobs of this model, whatever their task.
    kinds = {"instructions": True, "task": Task.VOICE_DESIGN, "voices": ()}
    registry = WorkerRegistry(redis)
    registry.sign_in("w1", card.model_copy(update=kinds))
    registry.sign_in("w2", card.model_copy(update={"id": "b", "task": Task.VOICE_CLONE}))
    with TestClient(create_app(settings)) as client:
        yield client


def designed(api: TestClient, redis: Redis, settings: Settings, **fields: Any) -> dict[str, Any]:
    job = api.post("/v1/jobs", json=DESIGN | {"input": TEXT} | fields)
    assert job.status_code == 202, job.text
    finish(job.json()["id"], redis, settings)
    found: dict[str, Any] = job.json()
    return found


@pytest.mark.parametrize("kind", ["wav", "mp3", "m4b"])
def test_a_designed_voice_is_kept_from_its_job(
    api: TestClient, redis: Redis, settings: Settings, kind: str
) -> None:
    job = designed(api, redis, settings, response_format=kind)
    answer = api.post(URL, json={"job": job["id"], "name": "Sailor"})
    assert answer.status_code == 201, answer.text
    voice = answer.json()
    # Segments of 1 s, and 0.6 s between them: seven of them are the first with 10 s.
    assert voice["ref_text"] == TEXT.replace("\n\n", " ")[: len(voice["ref_text"])]
    assert voice["ref_text"].count("sentence") == 7
    assert voice["duration_s"] == pytest.approx(7 * 1.6 - 0.6 + 0.5, abs=0.2)
    assert (voice["language"], voice["description"]) == ("english", SAILOR)
    assert "voice_design" in voice["consent"]
    clone = {"task": "voice_clone", "voice": "Sailor", "input": "Good evening."}
    assert api.post("/v1/jobs", json=clone).json()["voice_id"] == voice["id"]


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"job": "job_0"}, 404, "job"),
        ({}, 415, "Content-Type"),
        ({"job": "j" * 200}, 400, "job"),
        ({"job": "job_0", "ref_text": "Hello."}, 400, "ref_text"),
        ({"job": "job_0", "audio_sample": "x"}, 415, "Content-Type"),
    ],
)
def test_a_job_that_is_none_is_refused(
    api: TestClient, fields: dict[str, Any], status: int, param: str
) -> None:
    answer = api.post(URL, json={"name": "Sailor"} | fields)
    assert (answer.status_code, answer.json()["error"]["param"]) == (status, param)


def test_a_job_that_is_not_completed_is_refused(api: TestClient) -> None:
    job = api.post("/v1/jobs", json=DESIGN | {"input": TEXT}).json()
    answer = api.post(URL, data={"job": job["id"], "name": "Sailor"}, files={"x": b""})
    assert answer.status_code == 400  # an unknown field
    answer = api.post(URL, json={"job": job["id"], "name": "Sailor"})
    assert answer.status_code == 409


@pytest.mark.parametrize(("sent", "kept"), [(None, None), (7, 7), (0, 0)])
def test_all_segments_of_a_designed_voice_have_one_seed(
    api: TestClient, redis: Redis, sent: int | None, kept: int | None
) -> None:
    job = api.post("/v1/jobs", json=DESIGN | {"input": TEXT, "seed": sent}).json()
    seed = Ledger(redis, lease_s=1, max_attempts=1).job(job["id"]).spec.seed
    assert seed == job["seed"] is not None
    assert kept in (None, seed)
    other = api.post("/v1/jobs", json=DESIGN | {"input": TEXT, "seed": sent}).json()
    again = Ledger(redis, lease_s=1, max_attempts=1).job(other["id"]).spec.seed
    assert (again == seed) == (sent is not None)
