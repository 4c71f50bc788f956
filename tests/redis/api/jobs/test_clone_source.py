"""A recording is fetched from a URL only where the settings allow it, and from nowhere private."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from fastapi.testclient import TestClient
from redis import Redis

from api.app import create_app
from shared.models import ModelCard
from shared.settings import Settings
from shared.speech_model import Task
from shared.store.workers import WorkerRegistry
from tests.support.audio_files import recording


class Recordings(BaseHTTPRequestHandler):
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        body = recording(2.0) if self.path == "/voice.wav" else b"no sound"
        self.send_response(302 if self.path == "/moved" else 200)
        self.send_header("Location", "/voice.wav")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def elsewhere() -> Iterator[str]:
    Recordings.asked = []
    server = HTTPServer(("127.0.0.1", 0), Recordings)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def submit(
    settings: Settings, redis: Redis, card: ModelCard, url: str, allowed: str
) -> tuple[int, str | None]:
    base = {"id": "b", "task": Task.VOICE_CLONE, "voices": ()}
    WorkerRegistry(redis).sign_in("w", card.model_copy(update=base))
    changed = settings.model_copy(update={"reference_urls": allowed})
    body = {"task": "voice_clone", "input": "Hi.", "reference": {"audio": url}}
    with TestClient(create_app(changed)) as api:
        answer = api.post("/v1/jobs", json=body)
    return answer.status_code, (answer.json().get("error") or {}).get("param")


@pytest.mark.parametrize(
    ("allowed", "path", "status", "asked"),
    [
        ("off", "/voice.wav", 400, []),
        ("public", "/voice.wav", 400, []),
        ("any", "/voice.wav", 202, ["/voice.wav"]),
        ("any", "/nothing", 400, ["/nothing"]),
        ("any", "/moved", 400, ["/moved"]),
    ],
)
def test_a_reference_is_fetched_as_far_as_settings_allow(
    settings: Settings,
    redis: Redis,
    card: ModelCard,
    elsewhere: str,
    allowed: str,
    path: str,
    status: int,
    asked: list[str],
) -> None:
    param = None if status == 202 else "reference.audio"
    assert submit(settings, redis, card, elsewhere + path, allowed) == (status, param)
    assert Recordings.asked == asked
