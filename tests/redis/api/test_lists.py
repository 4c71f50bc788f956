"""The lists of models and voices: where clients look for them, and with which key."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from fastapi.testclient import TestClient
from redis import Redis

from api.app import create_app
from client.narrator import Narrator
from shared.models import ModelCard
from shared.settings import Settings
from shared.store.api_keys import ApiKeys, Scope
from shared.store.workers import WorkerRegistry
from tests.support.api_key_header import bearer
from tests.support.audio_files import recording
from tests.support.live_server import serving
from tests.support.valid_job import VALID_JOB

TINY, LONG = "tiny-CustomVoice", "Qwen/Qwen3-TTS-12Hz-0.6B-Base"
ALIASES = {"kokoro": "tts-1", "Mine": "tiny", "gone": "1.7B-Base", "tiny": "b", "*": "tiny"}
LISTS = ("/v1/models", "/v1/audio/models", "/v1/audio/voices", "/v1/voices", f"/v1/models/{TINY}")

pytestmark = pytest.mark.usefixtures("api")  # its workers, too


@pytest.fixture
def aliased(settings: Settings) -> Settings:
    return settings.model_copy(update={"model_aliases": json.dumps(ALIASES)})


@pytest.fixture
def public(settings: Settings) -> Iterator[TestClient]:
    shown = settings.model_copy(update={"public_lists": True})
    with TestClient(create_app(shown)) as client:
        yield client


def keep_voice(client: TestClient, **headers: str) -> None:
    kept = client.post(
        "/v1/audio/voices",
        data={"name": "My voice", "consent": "Mine"},
        files={"audio_sample": ("a.wav", recording(2.0))},
        headers=headers,
    )
    assert kept.status_code == 201, kept.text


def ids(entries: list[dict[str, Any]]) -> list[tuple[str, str | None]]:
    return [(entry["id"], entry["alias_of"]) for entry in entries]


def test_aliases_are_listed_after_the_models(aliased: Settings) -> None:
    with TestClient(create_app(aliased)) as client:
        listed = client.get("/v1/models").json()["data"]
        other = client.get("/v1/audio/models").json()
    served = ["b", "d", TINY]
    assert ids(listed) == [*((name, None) for name in served), ("kokoro", "b"), ("Mine", TINY)]
    assert all(isinstance(entry["created"], int) and entry["created"] > 0 for entry in listed)
    assert other["models"] == other["data"] == listed


@pytest.mark.parametrize(
    ("name", "found", "alias_of"),
    [
        (TINY, TINY, None),
        ("TINY", TINY, None),
        ("0.6B-Base", LONG, None),
        (LONG, LONG, None),
        (LONG.replace("/", "%2F"), LONG, None),
        ("mine", "mine", TINY),
        ("tts-1", "tts-1", LONG),
        ("openai/gpt-4o-mini-tts-2025-12-15", "openai/gpt-4o-mini-tts-2025-12-15", LONG),
        ("whisper", "whisper", TINY),
        ("gone", None, None),
    ],
)
def test_a_model_is_found_by_each_of_its_names(
    aliased: Settings,
    redis: Redis,
    card: ModelCard,
    name: str,
    found: str | None,
    alias_of: str | None,
) -> None:
    WorkerRegistry(redis).sign_in("w9", card.model_copy(update={"id": LONG}))
    with TestClient(create_app(aliased)) as client:
        answer = client.get(f"/v1/models/{name}")
    if found is None:
        assert answer.status_code == 404
        assert "TTS_MODEL_ALIASES" in answer.json()["error"]["message"]
    else:
        assert ids([answer.json()]) == [(found, alias_of)]


def test_a_model_that_is_not_there_is_not_found(api: TestClient) -> None:
    for name in ("whisper", "a/b/c", "tts-1.7b", "*"):
        answer = api.get(f"/v1/models/{name}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
        assert TINY in answer.json()["error"]["message"]
    assert api.get(f"/v1/models/{'x' * 201}").status_code == 400


def test_the_project_s_client_takes_no_alias_for_a_model(aliased: Settings) -> None:
    with serving(aliased) as url:
        with Narrator(url) as narrator:
            assert [model.id for model in narrator.models()] == ["b", "d", TINY]
        with openai.OpenAI(api_key="none", base_url=f"{url}/v1") as client:
            assert "kokoro" in [model.id for model in client.models.list()]
            assert client.models.retrieve("kokoro").created > 0


def test_voices_are_listed_as_texts_too(api: TestClient) -> None:
    keep_voice(api)
    names = api.get("/v1/voices?format=strings").json()
    assert names["voices"] == names["data"]
    assert "vivian" in names["voices"]
    assert names["voices"][-1] == "My voice"
    assert api.get("/v1/audio/voices?format=strings").json() == names
    objects = api.get("/v1/voices").json()
    assert objects == api.get("/v1/audio/voices").json()
    assert [len(objects[name]) for name in ("voices", "data")] == 2 * [len(names["voices"])]
    refused = api.get("/v1/voices?format=csv")
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "format")
    for voice in names["voices"]:
        assert api.get(f"/v1/audio/voices/{voice}").status_code == 200


def test_a_key_is_read_from_either_header(api: TestClient, keys: ApiKeys) -> None:
    _, token = keys.create("phone")
    _, reader = keys.create("reader", scopes=(Scope.READ,))
    for headers, status in (
        ({"X-API-Key": token}, 202),
        ({"x-api-key": f" {token} "}, 202),
        ({"Authorization": "Basic abc", "X-API-Key": token}, 202),
        ({"Authorization": "Bearer ", "X-API-Key": token}, 202),
        ({**bearer(token), "X-API-Key": "wrong"}, 202),
        ({**bearer("wrong"), "X-API-Key": token}, 401),
        ({"X-API-Key": reader}, 403),
        ({"X-API-Key": "tts_wrong"}, 401),
        ({"X-API-Key": f"Bearer {token}"}, 401),
        ({"X-API-Key": ""}, 401),
    ):
        assert api.post("/v1/jobs", json=VALID_JOB, headers=headers).status_code == status, headers
    assert "X-API-Key" in api.get("/v1/jobs").json()["error"]["message"]


def test_public_lists_show_nothing_of_anybody(
    public: TestClient, api: TestClient, keys: ApiKeys
) -> None:
    keep_voice(api)  # of the time before there was a key
    _, token = keys.create("phone")
    keep_voice(public, **bearer(token))
    for path in LISTS:
        assert public.get(path).status_code == 200, path
        assert public.get(path, headers=bearer("tts_wrong")).status_code == 401, path
        assert api.get(path).status_code == 401, path
    for path in ("/v1/voices", "/v1/voices?format=strings"):
        assert "My voice" not in public.get(path).text
        assert "My voice" in public.get(path, headers=bearer(token)).text
    assert public.get("/v1/audio/voices/vivian").status_code == 200
    for path in (
        "/v1/audio/voices/My voice",
        "/v1/audio/voices/voice_1",
        "/v1/audio/voices/vivian/sample",
        "/v1/queue",
        "/v1/jobs",
    ):
        assert public.get(path).status_code == 401, path
    for path in ("/v1/jobs", "/v1/audio/speech", "/v1/audio/voices/vivian/preview"):
        assert public.post(path, json=VALID_JOB).status_code == 401, path


def test_public_lists_have_a_limit_of_requests(settings: Settings, keys: ApiKeys) -> None:
    keys.create("phone")
    few = settings.model_copy(update={"public_lists": True, "max_requests_per_s": 1})
    with TestClient(create_app(few)) as client:
        statuses = {client.get("/v1/models").status_code for _ in range(5)}
    assert statuses == {200, 429}


def test_without_keys_all_see_their_lists(public: TestClient) -> None:
    keep_voice(public)
    assert "My voice" in public.get("/v1/voices").text
