"""The requests of front ends that are no packages, as their sources send them.

Open WebUI (`routers/audio.py`), Home Assistant (its OpenAI integration, and the integration
openai_tts), SillyTavern (`endpoints/openai.js`) and LibreChat (`TTSService.js`).
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import av
import httpx2
import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from shared.formats import SpeechFormat
from shared.models import ModelCard
from shared.settings import Settings
from shared.store.api_keys import ApiKeys
from tests.support.api_key_header import bearer
from tests.support.stub_worker import speaking

SPEECH, VOICES = "/v1/audio/speech", "/v1/audio/voices"
TEXT = "The lamp was lit."
IN_A_CONTAINER = "http://host.docker.internal:8000"

pytestmark = pytest.mark.usefixtures("redis")  # an empty one


@contextmanager
def server(settings: Settings, card: ModelCard, **changes: Any) -> Iterator[TestClient]:
    known = settings.model_copy(update=changes)
    with speaking(known, [card]), TestClient(create_app(known), IN_A_CONTAINER) as client:
        yield client


@pytest.fixture
def api(settings: Settings, card: ModelCard) -> Iterator[TestClient]:
    """A server without keys and settings, by the name that containers know."""
    with server(settings, card) as client:
        yield client


def assert_is_sound(answer: httpx2.Response, kind: SpeechFormat = SpeechFormat.MP3) -> None:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == kind.media_type
    with av.open(io.BytesIO(answer.content)) as file:
        assert sum(frame.samples for frame in file.decode(audio=0)) > 0


def job_of(api: TestClient, answer: httpx2.Response) -> Any:
    return api.get(f"/v1/jobs/{answer.headers['x-job-id']}").json()


# Open WebUI lists voices and models without its key, and speaks with it.


def open_webui_voices(api: TestClient) -> dict[str, str]:
    listed = api.get(VOICES)
    assert listed.is_success, listed.text
    return {voice["id"]: voice["name"] for voice in listed.json()["voices"]}


def open_webui_speech(api: TestClient, key: str, **changes: str) -> httpx2.Response:
    headers = {
        "Authorization": f"Bearer {key}",
        "X-OpenWebUI-User-Name": "Anna",
        "X-OpenWebUI-User-Id": "0b21",
        "X-OpenWebUI-User-Email": "anna@example.org",
        "X-OpenWebUI-User-Role": "user",
    }
    body = {"input": TEXT, "voice": "alloy", "model": "tts-1", **changes}
    return api.post(SPEECH, json=body, headers=headers)


def test_open_webui(api: TestClient) -> None:
    voices = open_webui_voices(api)
    assert voices == {"ryan": "Ryan", "vivian": "Vivian"}
    listed = api.get("/v1/audio/models").json()["models"]
    assert [model["id"] for model in listed] == ["tiny-CustomVoice"]
    for voice in ("alloy", *voices):
        assert_is_sound(open_webui_speech(api, "", voice=voice))
    assert_is_sound(open_webui_speech(api, "sk-any", model="tts-1-hd", input="🙂"))
    assert_is_sound(open_webui_speech(api, "sk-any", model=listed[0]["id"]))


def test_open_webui_shows_the_message_of_an_error(api: TestClient) -> None:
    refused = open_webui_speech(api, "sk-any", voice="nobody")
    assert refused.status_code == 400
    assert "no voice 'nobody'" in refused.json()["error"]["message"]


def test_open_webui_with_a_key(settings: Settings, card: ModelCard, keys: ApiKeys) -> None:
    token = keys.create("webui")[1]
    with server(settings, card, public_lists=True) as api:
        assert open_webui_voices(api) == {"ryan": "Ryan", "vivian": "Vivian"}
        assert_is_sound(open_webui_speech(api, token))
        assert open_webui_speech(api, "sk-other").status_code == 401


# Home Assistant's own integration has the names of OpenAI's voices, and sends `str(None)`.


@pytest.mark.parametrize("kind", ["mp3", "opus", "flac", "wav"])
def test_home_assistant_s_openai_integration(api: TestClient, kind: str) -> None:
    body = {
        "input": TEXT,
        "model": "gpt-4o-mini-tts",
        "voice": "marin",
        "instructions": "None",
        "response_format": kind,
        "speed": 1.0,
    }
    answer = api.post(SPEECH, json=body, headers={"X-Stainless-Raw-Response": "stream"})
    assert_is_sound(answer, SpeechFormat(kind))


def test_home_assistant_s_openai_tts(api: TestClient) -> None:
    # The key is checked with a full stop; a server without keys may be given none.
    probe = {"model": "tts-1", "input": ".", "voice": "alloy", "response_format": "mp3"}
    for headers in ({}, bearer("any")):
        assert_is_sound(api.post(SPEECH, json=probe, headers=headers))
    listed = api.get(VOICES, params={"limit": 100}, headers={"User-Agent": "HomeAssistant"}).json()
    found = listed.get("items") or listed.get("data") or listed.get("voices")
    assert [voice["id"] for voice in found] == ["ryan", "vivian"]
    body = {"model": "tts-1", "input": TEXT, "voice": "ryan", "response_format": "wav", "speed": 1}
    answer = api.post(SPEECH, json=body)
    assert_is_sound(answer, SpeechFormat.WAV)
    assert job_of(api, answer)["voice"] == "ryan"


# SillyTavern sends `Bearer ` and nothing where its user typed no key.


@pytest.mark.parametrize("authorization", ["Bearer ", "Bearer", "Bearer sk-any"])
def test_sillytavern(api: TestClient, authorization: str) -> None:
    headers = {"Content-Type": "application/json", "Authorization": authorization}
    # Its user types the voices with commas between them, and may put blanks after those.
    for voice in ("alloy", "ryan", " Vivian"):
        body = {"input": TEXT, "response_format": "mp3", "voice": voice, "speed": 1.05}
        answer = api.post(SPEECH, content=json.dumps(body | {"model": "tts-1"}), headers=headers)
        assert_is_sound(answer)
    assert job_of(api, answer)["voice"] == "vivian"


def test_sillytavern_without_the_key_it_needs(
    settings: Settings, card: ModelCard, keys: ApiKeys
) -> None:
    keys.create("phone")
    with server(settings, card) as api:
        headers = {"Authorization": "Bearer "}
        refused = api.post(SPEECH, json={"input": TEXT, "voice": "alloy"}, headers=headers)
    assert refused.status_code == 401


# LibreChat leaves out the voice if its file lists none, and may send a `backend`.


@pytest.mark.parametrize(
    ("body", "ignored"),
    [
        ({"input": TEXT, "model": "tts-1-hd", "voice": "shimmer"}, None),
        ({"input": TEXT, "model": "tts-1"}, None),
        ({"input": TEXT, "model": "tiny", "voice": "ryan", "backend": "piper"}, "backend"),
        ({"input": "…", "model": "tts-1", "voice": "alloy"}, None),
    ],
)
def test_librechat(api: TestClient, body: dict[str, str], ignored: str | None) -> None:
    headers = {"Accept": "application/json, text/plain, */*", "Authorization": "Bearer any"}
    answer = api.post(SPEECH, json=body, headers=headers)
    assert_is_sound(answer)
    assert answer.headers.get("x-ignored-fields") == ignored


def test_librechat_under_localai_sends_the_voice_as_the_model(
    settings: Settings, card: ModelCard
) -> None:
    aliases = json.dumps({"*": "tts-1"})
    with server(settings, card, model_aliases=aliases) as api:
        assert_is_sound(api.post(SPEECH, json={"input": TEXT, "model": "alloy"}))
