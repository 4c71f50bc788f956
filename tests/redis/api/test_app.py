import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from fastapi.testclient import TestClient
from redis import Redis

from api.app import create_app
from shared.errors import StaleClaim
from shared.jobs import SegmentResult
from shared.models import ModelCard
from shared.settings import Settings
from shared.storage import Storage
from shared.store.api_keys import ApiKeys
from shared.store.ledger import Ledger
from shared.store.workers import WorkerRegistry
from tests.support.audio_files import recording
from tests.support.processes import wait_until
from tests.support.valid_job import VALID_JOB


def encoded_tone(
    seconds: float,
    level: float = 0.5,
    rate: int = 24_000,
    channels: int = 1,
    kind: str = "WAV",
    subtype: str | None = None,
) -> str:
    file = io.BytesIO()
    tone = level * np.sin(2 * np.pi * 220 * np.arange(int(seconds * rate)) / rate)
    samples = np.repeat(tone[:, None], channels, axis=1)
    soundfile.write(file, samples, rate, format=kind, subtype=subtype)
    return base64.b64encode(file.getvalue()).decode()


def clone(audio: str) -> dict[str, Any]:
    return {"task": "voice_clone", "input": "Hi there.", "reference": {"audio": audio}}


def stored_jobs(redis: Redis) -> int:
    return int(redis.hlen("tts:queues")) + int(redis.zcard("tts:jobs"))


def test_a_job_is_accepted_announced_and_found(api: TestClient, redis: Redis) -> None:
    answer = api.post("/v1/jobs", json=VALID_JOB | {"seed": 7, "metadata": {"a": "b"}})
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["Location"] == job["links"]["self"] == f"/v1/jobs/{job['id']}"
    assert (job["object"], job["status"], job["progress"]) == ("job", "queued", 0)
    assert (job["model"], job["voice"], job["metadata"]) == (
        "tiny-CustomVoice",
        "vivian",
        {"a": "b"},
    )
    assert api.get(job["links"]["self"]).json() == job | {"queue_position": 1}
    wait_until(lambda: redis.llen("tts.tiny-CustomVoice") == 1)


@pytest.mark.parametrize(
    ("change", "param", "says"),
    [
        ({"voice": "nobody"}, "voice", "ryan, vivian"),
        ({"voice": None}, "voice", "string"),
        ({"voice": ""}, "voice", "ryan, vivian"),
        ({"language": "klingon"}, "language", "auto, chinese, english"),
        ({"model": "9B"}, "model", "tiny-CustomVoice"),
        ({"model": "d"}, "task", "d can do: voice_design"),
        ({"input": ""}, "input", "at least 1"),
        ({"input": " \n\t"}, "input", "nothing to speak"),
        ({"input": "…!?"}, "input", "nothing to speak"),
        ({"input": "x" * 1_001}, "input", "1,000"),
        ({"input": 5}, "input", "string"),
        ({"instructions": "softly"}, "instructions", "does not follow instructions"),
        ({"task": "sing"}, "task", "custom_voice"),
        ({"response_format": "aac"}, "response_format", "wav"),
        ({"seed": -1}, "seed", "greater than or equal to 0"),
        ({"seed": 2**32}, "seed", "less than"),
        ({"sampling": {"top_k": 0}}, "sampling.top_k", "greater than"),
        ({"sampling": {"temperatur": 1}}, "sampling.temperatur", "not permitted"),
        ({"sampling": {"max_new_tokens": 9_000}}, "sampling.max_new_tokens", "8192"),
        ({"metadata": {"k": 1}}, "metadata.k", "string"),
        ({"reference": {"audio": "x"}}, "reference", "not permitted"),
        ({"extra": 1}, "extra", "not permitted"),
    ],
)
def test_bad_input_names_its_field_and_queues_nothing(
    api: TestClient, redis: Redis, change: dict[str, Any], param: str, says: str
) -> None:
    answer = api.post("/v1/jobs", json=VALID_JOB | change)
    error = answer.json()["error"]
    assert (answer.status_code, error["type"]) == (400, "invalid_request_error")
    assert error["param"] == param
    assert says in error["message"]
    assert stored_jobs(redis) == 0


@pytest.mark.parametrize(
    ("audio", "says"),
    [
        ("no base64!", "not base64"),
        (base64.b64encode(b"no audio at all").decode(), "cannot be read as audio"),
        (encoded_tone(1.0)[:40], "cannot be read as audio"),
        (encoded_tone(0.1), "lasts 0.10 s"),
        (encoded_tone(1.0, level=0.0), "silent"),
        (encoded_tone(1.0, level=1e30, subtype="FLOAT"), "damaged"),
        (encoded_tone(1.0, rate=4_000), "4,000 Hz"),
        (encoded_tone(1.0, channels=3), "3 channels"),
        (encoded_tone(1.0, kind="VOC"), "VOC"),
    ],
)
def test_a_broken_reference_is_refused(
    api: TestClient, redis: Redis, tmp_path: Path, audio: str, says: str
) -> None:
    answer = api.post("/v1/jobs", json=clone(audio))
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, "reference.audio")
    assert says in error["message"]
    assert stored_jobs(redis) == 0
    assert not [path for path in (tmp_path / "results" / "jobs").rglob("*") if path.is_file()]


def test_a_reference_that_is_too_long_is_cut(api: TestClient) -> None:
    job = api.post("/v1/jobs", json=clone(encoded_tone(61.0, rate=8_000))).json()
    assert [warning["code"] for warning in job["warnings"]] == ["reference_trimmed"]


def test_a_reference_lies_with_its_job(api: TestClient, tmp_path: Path) -> None:
    audio = base64.b64encode(recording(1.0, silence_s=0.5)).decode()
    for sent in (audio, f"data:audio/wav;base64,{audio}"):
        answer = api.post("/v1/jobs", json=clone(sent))
        assert answer.status_code == 202
        stored = tmp_path / "results" / "jobs" / answer.json()["id"] / "segments" / "reference"
        assert stored.read_bytes() == base64.b64decode(audio)


def test_the_reference_of_a_job_that_is_not_admitted_is_removed(
    api: TestClient, tmp_path: Path
) -> None:
    named = {"Idempotency-Key": "mine"}
    first = api.post("/v1/jobs", json=clone(encoded_tone(1.0)), headers=named)
    again = api.post("/v1/jobs", json=clone(encoded_tone(1.0)), headers=named)
    other = api.post("/v1/jobs", json=clone(encoded_tone(2.0)), headers=named)
    assert [first.status_code, again.status_code, other.status_code] == [202, 202, 409]
    assert again.json()["id"] == first.json()["id"]
    (folder,) = (tmp_path / "results" / "jobs").iterdir()
    assert folder.name == first.json()["id"]


@pytest.mark.parametrize(
    ("body", "content_type", "status", "param"),
    [
        (b"{", "application/json", 400, "body"),
        (b"", "application/json", 400, "body"),
        (b"[]", "application/json", 400, "body"),
        (b'{"task": "custom_voice"}', "text/plain", 415, "Content-Type"),
        (b"task=custom_voice", "application/x-www-form-urlencoded", 415, "Content-Type"),
        (b'"' + b"x" * 2_000_001 + b'"', "application/json", 413, "body"),
    ],
)
def test_a_body_that_is_no_request_is_refused(
    api: TestClient, redis: Redis, body: bytes, content_type: str, status: int, param: str
) -> None:
    answer = api.post("/v1/jobs", content=body, headers={"content-type": content_type})
    assert answer.status_code == status
    assert answer.json()["error"]["param"] == param
    assert stored_jobs(redis) == 0


def test_a_large_body_without_a_length_is_refused(api: TestClient, redis: Redis) -> None:
    pieces = (b"x" * 100_000 for _ in range(30))
    answer = api.post("/v1/jobs", content=pieces, headers={"content-type": "application/json"})
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "body_too_large"
    assert stored_jobs(redis) == 0


def test_surrogates_and_control_characters_do_not_break_it(api: TestClient) -> None:
    body = b'{"task": "custom_voice", "voice": "vivian", "input": "a\\ud800b\\u0000c"}'
    answer = api.post("/v1/jobs", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_json")


def test_names_of_voices_languages_and_models_ignore_case(api: TestClient) -> None:
    body = VALID_JOB | {"voice": "Vivian", "language": "English", "model": "TINY"}
    job = api.post("/v1/jobs", json=body).json()
    assert (job["voice"], job["language"], job["model"]) == (
        "vivian",
        "english",
        "tiny-CustomVoice",
    )


def test_the_audio_of_a_finished_job_is_served(
    api: TestClient, redis: Redis, settings: Settings
) -> None:
    job = api.post("/v1/jobs", json=VALID_JOB).json()
    early = api.get(job["links"]["content"])
    assert (early.status_code, early.headers["x-should-retry"]) == (409, "false")
    assert early.json()["error"]["code"] == "job_not_ready"

    ledger = Ledger(redis, lease_s=10, max_attempts=3)
    Storage.open(settings.storage_url).put("k", b"the audio")
    claim = ledger.claim("tiny-CustomVoice")
    while claim is not None:
        claim = ledger.commit(claim, SegmentResult(key="k", samples=12_000), size_bytes=9)
    done = api.get(job["links"]["self"]).json()
    assert (done["status"], done["progress"]) == ("completed", 100)
    assert done["audio"] == {"seconds": 0.5, "sample_rate": 24_000, "bytes": 9, "format": "wav"}
    assert done["synthesis"]["batch_sizes"] == {"1": 1}
    assert done["synthesis"]["rtf"] == pytest.approx(
        done["synthesis"]["seconds"] / 0.5, rel=0.1, abs=2e-3
    )
    audio = api.get(job["links"]["content"])
    assert (audio.status_code, audio.content) == (200, b"the audio")
    assert audio.headers["content-type"] == "audio/wav"
    assert audio.headers["content-length"] == "9"


def test_a_failed_job_says_why(api: TestClient, redis: Redis) -> None:
    job = api.post("/v1/jobs", json=VALID_JOB).json()
    ledger = Ledger(redis, lease_s=10, max_attempts=3)
    claim = ledger.claim("tiny-CustomVoice")
    assert claim is not None
    ledger.fail(claim, "synthesis_failed", "no voice")
    failed = api.get(job["links"]["self"]).json()
    assert failed["status"] == "failed"
    assert failed["error"] == {"code": "synthesis_failed", "message": "no voice"}
    answer = api.get(job["links"]["content"])
    assert (answer.status_code, answer.headers["x-should-retry"]) == (409, "false")


def test_a_cancelled_job_stays_cancelled(api: TestClient, redis: Redis) -> None:
    job = api.post("/v1/jobs", json=VALID_JOB).json()
    claim = Ledger(redis, lease_s=10, max_attempts=3).claim("tiny-CustomVoice")
    assert claim is not None
    for _ in range(2):
        cancelled = api.post(f"{job['links']['self']}/cancel")
        assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    with pytest.raises(StaleClaim):
        Ledger(redis, lease_s=10, max_attempts=3).commit(claim, SegmentResult(key="k", samples=1))
    assert api.get(job["links"]["self"]).json()["status"] == "cancelled"
    assert api.get(job["links"]["content"]).status_code == 409


def test_the_same_request_sent_again_is_the_same_job(api: TestClient, redis: Redis) -> None:
    def send(key: str, token: str = "", **change: Any) -> Any:
        headers = {"Idempotency-Key": key} | ({"Authorization": f"Bearer {token}"} if token else {})
        return api.post("/v1/jobs", json=VALID_JOB | change, headers=headers)

    first = send("k")
    again = send("k")
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
    other = send("k", input="Something else.")
    assert (other.status_code, other.json()["error"]["code"]) == (409, "idempotency_key_reused")
    # Without keys, all are one owner.
    assert send("k", token="another").json()["id"] == first.json()["id"]
    assert redis.zcard("tts:jobs") == 1


def test_what_is_too_much_is_refused_with_a_time_to_wait(
    settings: Settings, redis: Redis, card: ModelCard
) -> None:
    WorkerRegistry(redis).sign_in("w", card)
    limits = {"max_open_jobs": 2, "max_open_chars": 40, "max_open_segments": 4}
    with TestClient(create_app(settings.model_copy(update=limits))) as api:
        tokens = [ApiKeys(redis).create(name)[1] for name in "abc"]
        heavy, light, other = ({"Authorization": f"Bearer {token}"} for token in tokens)
        for _ in range(2):
            assert api.post("/v1/jobs", json=VALID_JOB, headers=heavy).status_code == 202
        long = VALID_JOB | {"input": "Far too long to be let in, but not to be read."}
        paragraphs = VALID_JOB | {"input": "One.\n\nTwo.\n\nThree."}
        for body, headers, status, code, says in (
            (VALID_JOB, heavy, 429, "quota_exceeded", "2 jobs"),
            (long, light, 429, "quota_exceeded", "40 characters"),
            (paragraphs, other, 503, "queue_full", "queue is full"),
        ):
            answer = api.post("/v1/jobs", json=body, headers=headers)
            assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
            assert says in answer.json()["error"]["message"]
            assert 1 <= int(answer.headers["Retry-After"]) <= 120
        assert redis.zcard("tts:jobs") == 2


@pytest.mark.parametrize("path", ["/v1/jobs/none", "/v1/jobs/none/content", "/v1/nothing"])
def test_what_is_not_there_is_404_in_the_same_shape(api: TestClient, path: str) -> None:
    answer = api.get(path, headers={"x-request-id": "my-1"})
    assert answer.status_code == 404
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert answer.headers["x-request-id"] == "my-1"


def test_a_wrong_method_is_405_in_the_same_shape(api: TestClient) -> None:
    answer = api.put("/v1/jobs", json=VALID_JOB)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, POST")
    assert answer.json()["error"]["code"] == "method_not_allowed"


def test_models_and_voices_are_those_that_workers_serve(api: TestClient) -> None:
    models = {model["id"]: model for model in api.get("/v1/models").json()["data"]}
    assert set(models) == {"tiny-CustomVoice", "d", "b"}
    assert models["tiny-CustomVoice"]["workers"] == 1
    assert models["tiny-CustomVoice"]["voices"] == ["ryan", "vivian"]
    assert models["tiny-CustomVoice"]["compute"] is None  # of a worker of an older version
    assert models["d"]["compute"] == {
        "precision": "float32",
        "language_model": "kernel",
        "codec": "float32",
        "int8_speedup": 2.2,
    }
    listed = api.get("/v1/audio/voices").json()
    assert [voice["id"] for voice in listed["voices"]] == ["ryan", "vivian"]
    assert listed["data"] == listed["voices"]


def test_without_any_worker_nothing_is_queued(api: TestClient, redis: Redis) -> None:
    redis.flushall()
    answer = api.post("/v1/jobs", json=VALID_JOB)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "python -m worker" in answer.json()["error"]["message"]
    assert stored_jobs(redis) == 0


def test_a_task_that_nobody_serves_is_refused(api: TestClient, redis: Redis) -> None:
    redis.hdel("tts:models", "b")
    answer = api.post("/v1/jobs", json=clone(encoded_tone(1.0)))
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, "task")
    assert "custom_voice, voice_design" in error["message"]


def test_health_tells_life_from_readiness(api: TestClient, settings: Settings) -> None:
    assert api.get("/healthz").status_code == api.get("/readyz").status_code == 200
    away = settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    with TestClient(create_app(away), raise_server_exceptions=False) as client:
        assert client.get("/healthz").status_code == 200
        for answer in (client.get("/readyz"), client.post("/v1/jobs", json=VALID_JOB)):
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
            assert answer.json()["error"]["type"] == "server_error"


def test_an_unexpected_error_is_a_500_with_its_id(
    api: TestClient, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(_self: Ledger, _job_id: str) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(Ledger, "job", explode)
    answer = api.get("/v1/jobs/j", headers={"x-request-id": "my-2"})
    assert (answer.status_code, answer.headers["x-request-id"]) == (500, "my-2")
    assert answer.json()["error"]["code"] == "internal_error"
    assert "secret" not in answer.text
    assert "Request my-2 failed" in caplog.text
    assert "secret" in caplog.text


def test_the_description_names_no_answer_that_never_comes(api: TestClient) -> None:
    description = api.get("/openapi.json")
    assert "ValidationError" not in description.text
    submit = description.json()["paths"]["/v1/jobs"]["post"]["responses"]
    assert set(submit) == {"202", "400", "401", "403", "408", "409", "413", "415", "429", "503"}


def test_an_input_of_too_many_segments_is_refused(
    settings: Settings, redis: Redis, card: ModelCard
) -> None:
    WorkerRegistry(redis).sign_in("w1", card)
    few = settings.model_copy(update={"max_segments": 3})
    with TestClient(create_app(few)) as client:
        answer = client.post("/v1/jobs", json=VALID_JOB | {"input": "a\n\nb\n\nc\n\nd"})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "input")
        assert client.post("/v1/jobs", json=VALID_JOB | {"input": "a\n\nb\n\nc"}).status_code == 202
    assert redis.llen(f"tts.{card.id}") == 3


def test_the_model_that_can_do_what_is_asked_is_chosen(
    api: TestClient, redis: Redis, card: ModelCard
) -> None:
    able = card.model_copy(update={"id": "zz", "instructions": True, "voices": ("sohee",)})
    WorkerRegistry(redis).sign_in("w4", able)
    for change in ({"instructions": "softly", "voice": "sohee"}, {"voice": "sohee"}):
        assert api.post("/v1/jobs", json=VALID_JOB | change).json()["model"] == "zz"
    assert api.post("/v1/jobs", json=VALID_JOB).json()["model"] == "tiny-CustomVoice"


def test_a_folder_named_like_a_released_model_can_be_asked_for(
    api: TestClient, redis: Redis, card: ModelCard
) -> None:
    WorkerRegistry(redis).sign_in("w4", card.model_copy(update={"id": "0.6B-CustomVoice"}))
    job = api.post("/v1/jobs", json=VALID_JOB | {"model": "0.6b-customvoice"}).json()
    assert job["model"] == "0.6B-CustomVoice"


def test_a_card_of_another_version_is_passed_over(api: TestClient, redis: Redis) -> None:
    redis.hset("tts:models", "old", '{"id": "old"}')
    redis.hset("tts:models", "new", '{"surprise": 1}')
    assert api.post("/v1/jobs", json=VALID_JOB).status_code == 202


def test_of_a_recording_that_cancels_itself_out_one_side_is_used(api: TestClient) -> None:
    file = io.BytesIO()
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 24_000)
    soundfile.write(file, np.stack([noise, -noise], axis=1), 24_000, format="WAV", subtype="FLOAT")
    answer = api.post("/v1/jobs", json=clone(base64.b64encode(file.getvalue()).decode()))
    assert answer.status_code == 202, answer.text
    told = [warning["code"] for warning in answer.json()["warnings"]]
    assert told == ["reference_channels_cancel"]


@pytest.mark.parametrize("field", ["temperature", "top_p", "repetition_penalty"])
def test_sampling_that_would_draw_nothing_is_refused(api: TestClient, field: str) -> None:
    answer = api.post("/v1/jobs", json=VALID_JOB | {"sampling": {field: 5e-324}})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, f"sampling.{field}")


def test_a_number_that_no_machine_can_read_is_a_bad_body(api: TestClient) -> None:
    body = (
        b'{"task": "custom_voice", "voice": "vivian", "input": "a", "seed": ' + b"9" * 5_000 + b"}"
    )
    answer = api.post("/v1/jobs", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "body")
