"""Finished audio in another format than it was asked for."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from fastapi.testclient import TestClient
from redis import Redis

from api.jobs import transcode
from api.jobs.transcode import decode
from shared.audio.writers import open_writer
from shared.formats import Format
from shared.settings import Settings
from tests.support.audio_files import recording
from tests.support.finished_job import finish

Pcm = np.ndarray
BOOK = "Alice was tired.\n\n# Down\n\nShe fell.\n\n# Up\n\nShe rose."


def send(api: TestClient, kind: str = "wav") -> dict[str, Any]:
    body = {"task": "custom_voice", "voice": "vivian", "title": "Alice", "response_format": kind}
    answer = api.post("/v1/jobs", json=body | {"input": BOOK, "input_format": "markdown"})
    told: dict[str, Any] = answer.json()
    return told


def pieces(content: bytes, size: int = 5_000) -> Any:
    return (content[at : at + size] for at in range(0, len(content), size))


def samples(content: bytes) -> Pcm:
    return np.concatenate(list(decode(pieces(content))))


def assert_alike(made: Pcm, expected: Pcm) -> None:
    """The same sound, not later than its codec makes it, nor longer than its frames are."""
    assert abs(len(made) - len(expected)) < 24_000 * 0.1
    length = min(len(made), len(expected))
    a, b = made[:length].astype(float), expected[:length].astype(float)
    together = np.fft.irfft(np.fft.rfft(a, 2 * length) * np.conj(np.fft.rfft(b, 2 * length)))
    best = int(np.argmax(together))
    assert min(best, 2 * length - best) < 24_000 * 0.1
    assert together[best] > 0.9 * np.sqrt((a**2).sum() * (b**2).sum())


@pytest.fixture
def done(
    api: TestClient, redis: Redis, settings: Settings, request: pytest.FixtureRequest
) -> dict[str, Any]:
    job = send(api, getattr(request, "param", "wav"))
    finish(job["id"], redis, settings)
    told: dict[str, Any] = api.get(job["links"]["self"]).json()
    return told


def get(api: TestClient, job: dict[str, Any], kind: str, **headers: str) -> Any:
    return api.get(job["links"]["content"], params={"format": kind}, headers=headers)


@pytest.mark.parametrize("done", list(Format), indirect=True)
@pytest.mark.parametrize("kind", list(Format))
def test_every_format_becomes_every_other(
    api: TestClient, done: dict[str, Any], kind: Format
) -> None:
    own = api.get(done["links"]["content"])
    answer = get(api, done, kind)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == kind.media_type
    assert f'filename="Alice.{kind}"' in answer.headers["content-disposition"]
    if kind == done["audio"]["format"]:
        assert answer.content == own.content
    assert_alike(samples(answer.content), samples(own.content))


def test_what_loses_nothing_has_every_sample(api: TestClient, done: dict[str, Any]) -> None:
    assert (samples(get(api, done, "flac").content) == samples(get(api, done, "wav").content)).all()


def test_it_is_made_once_and_can_be_had_in_parts(
    api: TestClient, done: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = list[Format]()

    def open_and_note(path: Path, kind: Format, *rest: Any) -> Any:
        made.append(kind)
        return open_writer(path, kind, *rest)

    monkeypatch.setattr(transcode, "open_writer", open_and_note)
    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda _: get(api, done, "mp3"), range(6)))
    assert made == [Format.MP3]
    (whole,) = {answer.content for answer in answers}
    part = get(api, done, "mp3", Range="bytes=100-199")
    assert (part.status_code, part.content) == (206, whole[100:200])
    known = get(api, done, "mp3", **{"If-None-Match": answers[0].headers["etag"]})
    assert known.status_code == 304


def test_a_book_keeps_its_title_and_chapters(api: TestClient, done: dict[str, Any]) -> None:
    with av.open(io.BytesIO(get(api, done, "m4b").content)) as file:
        assert file.metadata["title"] == "Alice"
        marks = [chapter["metadata"]["title"] for chapter in file.chapters()]
    assert marks == ["Alice", "Down", "Up"]


def test_it_goes_with_its_job(api: TestClient, done: dict[str, Any], tmp_path: Path) -> None:
    get(api, done, "opus")
    assert list(tmp_path.rglob("*.opus"))
    assert api.delete(done["links"]["self"]).status_code == 200
    assert not [path for path in tmp_path.rglob("*") if done["id"] in str(path)]


def test_a_format_that_is_none_or_would_take_minutes_is_refused(
    api: TestClient, done: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = get(api, done, "midi")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "format")
    monkeypatch.setattr(transcode, "MAX_AUDIO_S", 1)
    answer = get(api, done, "mp3")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "format")
    assert "response_format=mp3" in answer.json()["error"]["message"]
    assert get(api, done, "wav").status_code == 200  # its own


def test_before_its_end_there_is_none(api: TestClient) -> None:
    job = send(api)
    assert get(api, job, "mp3").status_code == 409


def test_the_head_tells_of_the_same(api: TestClient, done: dict[str, Any]) -> None:
    whole = get(api, done, "mp3")
    head = api.head(done["links"]["content"], params={"format": "mp3"})
    assert (head.status_code, head.content) == (200, b"")
    for name in ("content-length", "content-type", "etag"):
        assert head.headers[name] == whole.headers[name]


def test_what_is_there_waits_for_nobody(
    api: TestClient, done: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    get(api, done, "mp3")
    go, begun = threading.Event(), threading.Event()

    def decode_later(content: Iterator[bytes]) -> Iterator[Pcm]:
        begun.set()
        assert go.wait(20)
        return decode(content)

    monkeypatch.setattr(transcode, "decode", decode_later)
    with ThreadPoolExecutor(1) as thread:
        slow = thread.submit(get, api, done, "opus")
        assert begun.wait(10)
        assert get(api, done, "mp3").status_code == 200
        go.set()
        slow.result(20)


@pytest.mark.parametrize("done", ["wav", "flac", "mp3", "m4b"], indirect=True)
@pytest.mark.parametrize("keep", [0.0, 0.5])
def test_damaged_audio_is_no_result(
    api: TestClient, done: dict[str, Any], tmp_path: Path, keep: float
) -> None:
    kind = done["audio"]["format"]
    (stored,) = tmp_path.rglob(f"audio.{kind}")
    content = stored.read_bytes()
    stored.write_bytes(content[: int(keep * len(content))])
    answer = get(api, done, "opus")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "audio_damaged")
    assert not list(tmp_path.rglob("*.opus"))


def test_a_job_that_is_deleted_meanwhile_leaves_nothing(
    api: TestClient, done: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deleted = threading.Event()

    def delete_and_decode(content: Iterator[bytes]) -> Iterator[Pcm]:
        assert api.delete(done["links"]["self"]).status_code == 200
        deleted.set()
        return decode(content)

    monkeypatch.setattr(transcode, "decode", delete_and_decode)
    assert get(api, done, "opus").status_code == 404
    assert deleted.is_set()
    assert not [path for path in tmp_path.rglob("*") if done["id"] in str(path)]


def test_sound_of_another_rate_comes_at_ours() -> None:
    made = samples(recording(1.0, rate=48_000))
    assert abs(len(made) - 24_000) < 100
