"""Voices over HTTP: listed, uploaded, used and deleted, and whose they are."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from redis import Redis

from api.app import create_app
from api.auth.caller import Caller
from api.speech.requests import SpeechRequest
from shared.errors import InvalidRequest, Unavailable
from shared.models import ModelCard
from shared.settings import Settings
from shared.speech_model import Task
from shared.storage import Storage
from shared.storage_paths import reference_key
from shared.store.api_keys import ApiKeys, Scope
from shared.store.ledger import Ledger
from shared.store.voices import RECORD_TIMEOUT_S, Voice, Voices, recording_key, voice_folder
from shared.store.workers import WorkerRegistry
from tests.support.api_key_header import bearer
from tests.support.audio_files import recording
from tests.support.valid_job import VALID_JOB
from worker.cleaner import Cleaner

URL = "/v1/audio/voices"
HEARD = recording(4.0)
SAID = "The lamp was lit, and nobody spoke for quite a while here."
FIELDS = {"name": "Anna", "consent": "Anna agreed in writing", "ref_text": SAID}
CLONE = {"task": "voice_clone", "input": "Good evening."}


@pytest.fixture
def storage(settings: Settings) -> Storage:
    return Storage.open(settings.storage_url)


@pytest.fixture
def voices(redis: Redis) -> Voices:
    return Voices(redis)


def upload(api: TestClient, content: bytes = HEARD, token: str = "", **changes: str | None) -> Any:
    fields = {name: value for name, value in (FIELDS | changes).items() if value is not None}
    files = {"audio_sample": ("anna.wav", content, "audio/wav")}
    return api.post(URL, data=fields, files=files, headers=bearer(token))


def error_of(answer: Any) -> tuple[int, str, str | None]:
    error = answer.json()["error"]
    return answer.status_code, error["code"], error["param"]


def files(settings: Settings) -> list[Path]:
    folder = Path(settings.storage_url.removeprefix("file://"))
    return [path for path in folder.glob("*/**/*") if path.is_file()]


def test_the_models_own_voices_are_listed_once_each(
    api: TestClient, redis: Redis, card: ModelCard
) -> None:
    other = {"id": "big", "voices": ("ryan", "zoe")}
    WorkerRegistry(redis).sign_in("w9", card.model_copy(update=other))
    body = api.get(URL).json()
    assert body["voices"] == body["data"]
    told = {voice["id"]: voice for voice in body["voices"]}
    assert list(told) == ["ryan", "vivian", "zoe"]
    assert told["ryan"]["models"] == ["big", "tiny-CustomVoice"]
    assert told["ryan"]["model"] == "big"
    assert (told["ryan"]["language"], told["vivian"]["language"]) == ("english", "chinese")
    assert "rhythm" in told["ryan"]["description"]
    assert (told["zoe"]["name"], told["zoe"]["kind"]) == ("Zoe", "preset")
    assert told["zoe"]["language"] is told["zoe"]["description"] is None
    assert api.get(f"{URL}/Ryan").json() == told["ryan"]
    assert error_of(api.get(f"{URL}/ryan/sample")) == (404, "object_not_found", "voice_id")
    assert error_of(api.delete(f"{URL}/ryan")) == (400, "invalid_value", "voice_id")


def test_a_voice_is_uploaded_heard_and_deleted(api: TestClient, settings: Settings) -> None:
    answer = upload(api, language="English", description="A test")
    voice = answer.json()
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"{URL}/{voice['id']}"
    assert voice["object"] == "audio.voice"
    assert (voice["name"], voice["kind"], voice["language"]) == ("Anna", "cloned", "english")
    assert (voice["model"], voice["models"]) == ("b", ["b"])  # the one that clones
    assert (voice["ref_text"], voice["duration_s"]) == (SAID, pytest.approx(4.5, abs=0.1))
    assert abs(voice["created_at"] - time.time()) < 60
    assert [warning["code"] for warning in voice["warnings"]] == ["noise"]
    assert api.get(URL).json()["voices"][-1] == voice
    for name in (voice["id"], "Anna", "ANNA"):
        assert api.get(f"{URL}/{name}").json() == voice
    sample = api.get(f"{URL}/{voice['id']}/sample")
    assert sample.headers["content-type"] == "audio/wav"
    assert sample.content[:4] == b"RIFF"
    gone = api.delete(f"{URL}/{voice['id']}").json()
    assert gone == {"id": voice["id"], "object": "audio.voice.deleted", "deleted": True}
    assert error_of(api.get(f"{URL}/{voice['id']}")) == (404, "voice_not_found", "voice_id")
    assert error_of(api.delete(f"{URL}/{voice['id']}")) == (404, "voice_not_found", "voice_id")
    assert files(settings) == []
    assert upload(api).status_code == 201  # the name is free again


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"consent": None}, (400, "invalid_value", "consent")),
        ({"consent": "  "}, (400, "invalid_value", "consent")),
        ({"consent": "False"}, (400, "invalid_value", "consent")),
        ({"name": None}, (400, "missing_field", "name")),
        ({"name": " \t"}, (400, "invalid_value", "name")),
        ({"name": "x" * 65}, (400, "invalid_value", "name")),
        ({"name": "a\nb"}, (400, "invalid_value", "name")),
        ({"name": "a\u202eb"}, (400, "invalid_value", "name")),
        ({"name": "voice_1"}, (400, "invalid_value", "name")),
        ({"name": "Vivian"}, (409, "name_taken", "name")),
        ({"name": "Uncle Fu"}, (409, "name_taken", "name")),
        ({"ref_text": "x" * 2_001}, (400, "invalid_value", "ref_text")),
        ({"language": "klingon"}, (400, "invalid_value", "language")),
        ({"mood": "sad"}, (400, "unknown_field", "mood")),
    ],
)
def test_a_bad_field_is_named_and_nothing_is_kept(
    api: TestClient, settings: Settings, change: dict[str, Any], expected: tuple[int, str, str]
) -> None:
    answer = upload(api, **change)
    assert error_of(answer) == expected
    assert answer.json()["error"]["message"]
    assert files(settings) == []


def test_who_forgets_consent_is_told_what_it_is(api: TestClient) -> None:
    assert "the speaker agreed" in upload(api, consent=None).json()["error"]["message"]


@pytest.mark.parametrize("content", [b"", b"no audio at all", recording(0.2), HEARD[:30]])
def test_a_recording_of_no_use_is_refused_and_nothing_is_kept(
    api: TestClient, settings: Settings, content: bytes
) -> None:
    assert error_of(upload(api, content)) == (400, "invalid_value", "audio_sample")
    assert files(settings) == []


def test_what_is_no_form_or_no_file_is_refused(api: TestClient) -> None:
    assert error_of(api.post(URL, json=FIELDS))[0] == 415
    assert error_of(api.post(URL, data=FIELDS))[0] == 415
    text = api.post(URL, data={"audio_sample": "x"}, files={"name": ("n", b"x")})
    assert error_of(text) == (400, "invalid_value", "audio_sample")
    none = api.post(URL, data=FIELDS | {"audio_sample": "x"}, files={"empty": (None, b"")})
    assert error_of(none) == (400, "invalid_value", "audio_sample")
    twice = api.post(URL, data={"name": ["a", "b"]}, files={"audio_sample": ("a", HEARD)})
    assert error_of(twice) == (400, "invalid_value", "name")


@pytest.mark.parametrize("bytes_", [2_000, 1_000_000])
def test_a_recording_that_is_too_large_is_refused(
    settings: Settings, redis: Redis, bytes_: int
) -> None:
    few = settings.model_copy(update={"max_voice_bytes": 1_024})
    with TestClient(create_app(few)) as small:
        assert redis.ping()
        assert error_of(upload(small, b"x" * bytes_)) == (413, "body_too_large", "audio_sample")
    assert files(settings) == []


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "a/b", "Zoë ☺", "%2e%2e", "<b>", "🎙", "a:b*", "ﬁne", "."]
)
def test_odd_names_are_only_names(api: TestClient, settings: Settings, name: str) -> None:
    voice = upload(api, name=name).json()
    assert voice["name"] == name
    assert [path.parent.name for path in files(settings)] == [voice["id"]]
    job = api.post("/v1/jobs", json=CLONE | {"voice": name})
    assert (job.status_code, job.json()["voice_id"]) == (202, voice["id"])
    assert error_of(upload(api, name=f" {name.upper()} ")) == (409, "name_taken", "name")


@pytest.mark.parametrize(
    "voice_id", ["voice_", "voice_../x", "..", "*", "voice_*", "x" * 128, "%00"]
)
def test_an_id_that_is_none_finds_nothing(api: TestClient, voice_id: str) -> None:
    upload(api)
    for path in ("", "/sample"):
        found = api.get(f"{URL}/{quote(voice_id, safe='')}{path}")
        assert found.status_code == 404, path


def test_an_owner_may_have_so_many_voices(settings: Settings, redis: Redis) -> None:
    few = settings.model_copy(update={"max_voices": 2})
    assert redis.dbsize() == 0
    with TestClient(create_app(few)) as small:
        assert upload(small, name="a").status_code == upload(small, name="b").status_code == 201
        assert error_of(upload(small, name="c")) == (409, "too_many_voices", None)
        assert len(files(settings)) == 2
        small.delete(f"{URL}/a")
        assert upload(small, name="c").status_code == 201


def test_owners_do_not_see_each_others_voices(api: TestClient, keys: ApiKeys) -> None:
    _, mine = keys.create("mine")
    _, other = keys.create("other")
    _, reads = keys.create("reader", scopes=(Scope.READ, Scope.SPEAK))
    voice = upload(api, token=mine).json()
    assert upload(api, token=other).status_code == 201  # under the same name
    assert error_of(upload(api, token=reads))[:2] == (403, "forbidden")
    for path in ("", "/sample"):
        url = f"{URL}/{voice['id']}{path}"
        assert api.get(url, headers=bearer(mine)).status_code == 200
        assert error_of(api.get(url, headers=bearer(other)))[0] == 404
    url = f"{URL}/{voice['id']}"
    assert error_of(api.delete(url, headers=bearer(reads)))[0] == 403
    assert error_of(api.delete(url, headers=bearer(other)))[0] == 404
    job = api.post("/v1/jobs", json=CLONE | {"voice": voice["id"]}, headers=bearer(other))
    assert error_of(job) == (400, "invalid_value", "voice")
    listed = api.get(URL, headers=bearer(other)).json()["voices"]
    assert voice["id"] not in [each["id"] for each in listed]
    assert "Anna" in [each["name"] for each in listed]


def test_a_job_has_its_own_copy_of_the_voice_and_survives_it(
    api: TestClient, storage: Storage, ledger: Ledger
) -> None:
    voice = upload(api).json()
    wav = storage.get(recording_key(voice["id"]))
    for name in (voice["id"], "anna"):
        answer = api.post("/v1/jobs", json=CLONE | {"voice": name})
        job = answer.json()
        assert (answer.status_code, job["voice"], job["voice_id"]) == (202, "Anna", voice["id"])
        found = ledger.job(job["id"]).spec.reference
        assert found is not None
        assert (found.text, found.voice) == (SAID, voice["id"])
        assert storage.get(reference_key(job["id"])) == wav
    api.delete(f"{URL}/{voice['id']}")
    assert storage.get(reference_key(job["id"])) == wav
    assert api.get(f"/v1/jobs/{job['id']}").json()["voice"] == "Anna"


def test_forms_and_batches_take_voices_too(api: TestClient) -> None:
    voice = upload(api).json()
    form = api.post(
        "/v1/jobs",
        data={"task": "voice_clone", "voice": "Anna"},
        files={"file": ("a.txt", b"Good evening.")},
    )
    assert (form.status_code, form.json()["voice_id"]) == (202, voice["id"])
    line = {"custom_id": "1", "body": CLONE | {"voice": "Anna"}}
    kind = {"Content-Type": "application/jsonl"}
    assert api.post("/v1/batches", content=json.dumps(line), headers=kind).status_code == 202
    unknown = {"custom_id": "2", "body": CLONE | {"voice": "Bert"}}
    lines = "\n".join(map(json.dumps, (line, unknown)))
    refused = api.post("/v1/batches", content=lines, headers=kind)
    assert error_of(refused) == (400, "invalid_value", "line 2: voice")


@pytest.mark.parametrize(
    ("change", "param", "says"),
    [
        ({}, "reference", "reference, or voice"),
        ({"voice": "Bert"}, "voice", "no voice 'Bert'"),
        ({"voice": "voice_1"}, "voice", "no voice 'voice_1'"),
        ({"voice": "Anna", "reference": {"audio": "x"}}, "voice", "not both"),
        ({"voice": ""}, "voice", "at least 1"),
        ({"task": "custom_voice", "voice": "Anna"}, "voice", "has no voice 'Anna'"),
    ],
)
def test_which_voice_is_meant_has_to_be_clear(
    api: TestClient, change: dict[str, Any], param: str, says: str
) -> None:
    upload(api)
    answer = api.post("/v1/jobs", json=CLONE | change)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert says in answer.json()["error"]["message"]


def test_a_voice_whose_recording_is_gone_is_no_voice(api: TestClient, storage: Storage) -> None:
    voice = upload(api).json()
    storage.delete_folder(voice_folder(voice["id"]))
    answer = api.post("/v1/jobs", json=CLONE | {"voice": "Anna"})
    assert error_of(answer) == (400, "invalid_value", "voice")


def sweep(redis: Redis, ledger: Ledger, voices: Voices, storage: Storage, after_s: float) -> None:
    """What workers do, so many seconds later."""
    for voice_id, since in redis.zrange("tts:voice_folders", 0, -1, withscores=True):
        redis.zadd("tts:voice_folders", {voice_id: since - after_s})
    Cleaner(ledger=ledger, voices=voices, storage=storage, ttl_s=1_000).sweep()


def test_what_was_written_after_a_deletion_is_swept(
    api: TestClient,
    redis: Redis,
    ledger: Ledger,
    voices: Voices,
    storage: Storage,
    results: Path,
) -> None:
    voice, kept = upload(api).json(), upload(api, name="Bert").json()
    api.delete(f"{URL}/{voice['id']}")
    storage.put(f"{voice_folder(voice['id'])}/prompt-1.safetensors", b"late")
    sweep(redis, ledger, voices, storage, RECORD_TIMEOUT_S - 5)
    assert storage.get(f"{voice_folder(voice['id'])}/prompt-1.safetensors") == b"late"
    sweep(redis, ledger, voices, storage, 6)
    assert not (results / voice_folder(voice["id"])).exists()
    assert storage.get(recording_key(kept["id"]))
    assert redis.exists("tts:voice_folders") == 0


def a_voice(voice_id: str, owner: str = "public", name: str = "Carl") -> Voice:
    return Voice(id=voice_id, owner=owner, name=name, consent="yes", digest="0", duration_s=4.0)


def test_a_recording_without_a_record_is_swept_and_gets_none_later(
    redis: Redis, ledger: Ledger, voices: Voices, storage: Storage, results: Path
) -> None:
    voices.begin("voice_1")
    storage.put(recording_key("voice_1"), b"sound")  # and here the server dies
    sweep(redis, ledger, voices, storage, RECORD_TIMEOUT_S + 1)
    assert not (results / voice_folder("voice_1")).exists()
    with pytest.raises(Unavailable, match="took too long"):
        voices.create(a_voice("voice_1"), most=5)
    voices.begin("voice_2")
    redis.zadd("tts:voice_folders", {"voice_2": time.time() - RECORD_TIMEOUT_S - 5})
    with pytest.raises(Unavailable, match="took too long"):  # not swept yet, but due
        voices.create(a_voice("voice_2"), most=5)
    assert voices.of("public") == []


def test_creating_once_more_is_the_same_voice(voices: Voices) -> None:
    voices.begin("voice_1")
    first = voices.create(a_voice("voice_1"), most=1)
    assert voices.create(a_voice("voice_1"), most=1) == first == voices.get("voice_1")
    assert voices.delete("voice_1")
    assert not voices.delete("voice_1")


@pytest.mark.parametrize("ask", ["Anna", "anna", {"id": "Anna"}, None])
def test_speech_at_once_takes_it_too(api: TestClient, ask: Any) -> None:
    voice = upload(api).json()
    admission = cast(FastAPI, api.app).state.services.speech_admission
    asked = {"input": "Good evening.", "model": "tts-1", "instructions": "Calmly."}
    named = SpeechRequest.model_validate(asked | {"voice": ask or voice["id"]})
    job = admission.admit(named, Caller("public"))
    assert job.spec.task is Task.VOICE_CLONE
    assert job.spec.reference is not None
    assert job.spec.reference.voice == voice["id"]
    preset = SpeechRequest.model_validate(asked | {"voice": "Vivian"})
    assert admission.admit(preset, Caller("public")).spec.voice == "vivian"
    gone = SpeechRequest.model_validate(asked | {"voice": "voice_0", "task_type": "Base"})
    with pytest.raises(InvalidRequest, match="no voice 'voice_0'"):
        admission.admit(gone, Caller("public"))


def test_custom_voices_stay_what_they_are(api: TestClient, ledger: Ledger) -> None:
    job = api.post("/v1/jobs", json=VALID_JOB).json()
    assert (job["voice"], job["voice_id"]) == ("vivian", None)
    assert ledger.job(job["id"]).spec.task is Task.CUSTOM_VOICE
