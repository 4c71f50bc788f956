"""Names of other servers, which the settings say the meaning of."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from api.auth.caller import Caller
from api.jobs.aliases import is_openai_model
from api.speech.requests import SpeechRequest
from shared.jobs import PUBLIC
from shared.settings import Settings
from tests.support.audio_files import recording
from tests.support.valid_job import VALID_JOB

Make = Callable[..., TestClient]
ASKED = {"input": "Hello there."}
TINY = "tiny-CustomVoice"


@pytest.fixture
def make(api: TestClient, settings: Settings) -> Iterator[Make]:
    """Makes an API with aliases."""
    assert api
    with ExitStack() as stack:

        def made(**aliases: dict[str, str]) -> TestClient:
            texts = {name: json.dumps(table) for name, table in aliases.items()}
            app = create_app(settings.model_copy(update=texts))
            return stack.enter_context(TestClient(app))

        yield made


def spec(client: TestClient, **asked: Any) -> tuple[str, str, str]:
    """The task, model and voice of the job that a speech request would be."""
    services = client.app.state.services  # type: ignore[attr-defined]
    checked = services.speech_admission.check(
        SpeechRequest.model_validate(ASKED | asked), Caller(PUBLIC)
    )
    return checked.spec.task, checked.spec.model, checked.spec.voice


def error(client: TestClient, path: str, body: dict[str, Any]) -> tuple[int, str, str]:
    answer = client.post(path, json=body)
    found = answer.json()["error"]
    return answer.status_code, found["param"], found["message"]


def test_fixed_names_of_other_servers_mean_ours(make: Make) -> None:
    client = make(
        model_aliases={"Kokoro": "tts-1", "qwen3-tts": "tiny", "b2": "b"},
        voice_aliases={"AF_Heart": "Ryan", "default": "ryan"},
    )
    mine = ("custom_voice", TINY, "ryan")
    for model in ("kokoro", "KOKORO ", "qwen3-tts", "tiny", None, ""):
        for voice in ("af_heart", "AF Heart", "ryan", None, "", " ", "default", "Default"):
            assert spec(client, model=model, voice=voice) == mine, (model, voice)
    for path in ("/v1/audio/speech", "/v1/jobs"):
        body = VALID_JOB if path == "/v1/jobs" else ASKED
        status, param, message = error(client, path, body | {"voice": "bf_emma"})
        assert (status, param) == (400, "voice")
        assert "bf_emma" in message
    job = client.post("/v1/jobs", json=VALID_JOB | {"model": " Kokoro", "voice": "af_heart"}).json()
    assert (job["model"], job["voice"]) == (TINY, "ryan")


def test_a_star_is_every_name_that_is_not_known(make: Make) -> None:
    client = make(model_aliases={"*": "tiny"}, voice_aliases={"*": "ryan"})
    assert spec(client, model="whisper", voice="nobody") == ("custom_voice", TINY, "ryan")
    assert spec(client, model="whisper", voice="vivian")[2] == "vivian"
    assert spec(client, model="tts-1", voice="alloy")[2] == "vivian"
    # What is served stays what it is.
    assert error(client, "/v1/audio/speech", ASKED | {"model": "b", "voice": "vivian"})[0] == 400
    job = client.post("/v1/jobs", json=VALID_JOB | {"model": "whisper", "voice": "nobody"}).json()
    assert (job["model"], job["voice"]) == (TINY, "ryan")


def test_an_alias_wins_over_names_of_openai_s_and_never_over_what_is_served(make: Make) -> None:
    client = make(
        model_aliases={"tts-1": "tiny", "tiny": "b", TINY: "b"},
        voice_aliases={"alloy": "ryan", "vivian": "ryan"},
    )
    assert spec(client, model="tts-1", voice="alloy") == ("custom_voice", TINY, "ryan")
    assert spec(client, model="tiny", voice="vivian") == ("custom_voice", TINY, "vivian")


def test_an_alias_may_be_a_voice_of_one_s_own(make: Make) -> None:
    client = make(voice_aliases={"af_heart": "My voice"})
    body = ASKED | {"voice": "af_heart"}
    status, param, message = error(client, "/v1/audio/speech", body)
    assert (status, param) == (400, "voice")
    assert "TTS_VOICE_ALIASES" in message
    kept = client.post(
        "/v1/audio/voices",
        data={"name": "My voice", "consent": "Mine"},
        files={"audio_sample": ("a.wav", recording(2.0))},
    )
    assert kept.status_code == 201, kept.text
    assert spec(client, voice="af_heart")[:2] == ("voice_clone", "b")
    assert spec(client, voice=" my VOICE ")[:2] == ("voice_clone", "b")


def test_a_name_that_stands_for_nothing_served_is_told_the_setting(make: Make) -> None:
    client = make(model_aliases={"kokoro": "1.7B-Base"}, voice_aliases={"af_heart": "none"})
    for path, expected in (("/v1/audio/speech", 404), ("/v1/jobs", 400)):
        body = VALID_JOB if path == "/v1/jobs" else ASKED
        status, param, message = error(client, path, body | {"model": "kokoro"})
        assert (status, param) == (expected, "model")
        assert "TTS_MODEL_ALIASES" in message
        assert TINY in message
        status, param, message = error(client, path, body | {"voice": "af_heart"})
        assert (status, param) == (400, "voice")
        assert "TTS_VOICE_ALIASES" in message


def test_the_same_request_is_the_same_job_under_an_alias(make: Make) -> None:
    client = make(voice_aliases={"a": "ryan"})
    once = {"Idempotency-Key": "k"}
    body = VALID_JOB | {"voice": "a"}
    ids = {client.post("/v1/jobs", json=body, headers=once).json()["id"] for _ in range(2)}
    assert len(ids) == 1


@pytest.mark.parametrize("language", ["en", "en-US", "ENG", " English ", "english"])
def test_a_language_is_known_by_its_code(api: TestClient, language: str) -> None:
    job = api.post("/v1/jobs", json=VALID_JOB | {"language": language})
    assert job.json()["language"] == "english"


@pytest.mark.parametrize(
    "name", ["tts-1.7b", "tts-12", "my-tts-1", "gpt-4o", "gpt-4o-mini", "azure/tts-1", "tts", ""]
)
def test_what_is_no_name_of_openai_s(name: str) -> None:
    assert not is_openai_model(name)
