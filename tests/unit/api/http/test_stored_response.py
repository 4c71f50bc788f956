"""Parts of a file, and what a client has already (RFC 9110)."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi import FastAPI, Request, Response
from fastapi.testclient import TestClient

from api.http.limited_threads import LimitedThreads
from api.http.stored_response import Stored, attachment, stored_response
from shared.storage import Storage

CONTENT = bytes(range(100))


@pytest.fixture
def api(tmp_path: Path) -> TestClient:
    storage = Storage.open(tmp_path.as_uri())
    storage.put("a", CONTENT)
    storage.put("empty", b"")
    app = FastAPI()

    @app.head("/{key}")
    @app.get("/{key}")
    async def get(key: str, request: Request) -> Response:
        content = Stored(key, storage, LimitedThreads.for_storage())
        return await stored_response(request, content, media_type="audio/wav", name="a.wav")

    return TestClient(app)


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("The Lamp.m4b", 'attachment; filename="The Lamp.m4b"'),
        ("07 Salt & Iron.mp3", 'attachment; filename="07 Salt & Iron.mp3"'),
        ('A/B: "C"?\n.wav', 'attachment; filename="A B C.wav"'),
        ("../...wav", 'attachment; filename="audio.wav"'),
        (
            "Café.m4b",
            "attachment; filename=\"Cafe.m4b\"; filename*=UTF-8''Caf%C3%A9.m4b",
        ),
        (
            "灯.m4b",
            "attachment; filename=\"audio.m4b\"; filename*=UTF-8''%E7%81%AF.m4b",
        ),
        (f"{'a' * 200}.wav", f'attachment; filename="{"a" * 100}.wav"'),
    ],
)
def test_a_download_has_a_name_that_every_system_takes(name: str, header: str) -> None:
    assert attachment(name) == header


@pytest.mark.parametrize(
    ("asked", "status", "start", "end"),
    [
        (None, 200, 0, 100),
        ("bytes=0-", 206, 0, 100),
        ("bytes=0-0", 206, 0, 1),
        ("bytes=10-19", 206, 10, 20),
        ("bytes=90-1000", 206, 90, 100),
        ("bytes=-5", 206, 95, 100),
        ("bytes=-500", 206, 0, 100),
        ("Bytes = 10 - 19", 206, 10, 20),
        ("bytes=10-9", 200, 0, 100),
        ("bytes=-", 200, 0, 100),
        ("bytes=0-1,5-6", 200, 0, 100),
        ("lines=0-1", 200, 0, 100),
        ("bytes=" + "9" * 40 + "-", 200, 0, 100),
    ],
)
def test_a_range_is_sent(
    api: TestClient, asked: str | None, status: int, start: int, end: int
) -> None:
    answer = api.get("/a", headers={"Range": asked} if asked else {})
    assert (answer.status_code, answer.content) == (status, CONTENT[start:end])
    assert answer.headers["Content-Length"] == str(end - start)
    if status == 206:
        assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/100"
    assert answer.headers["Accept-Ranges"] == "bytes"


@pytest.mark.parametrize("asked", ["bytes=100-", "bytes=500-600", "bytes=-0"])
def test_a_range_that_is_not_there_is_refused(api: TestClient, asked: str) -> None:
    answer = api.get("/a", headers={"Range": asked})
    assert (answer.status_code, answer.headers["Content-Range"]) == (416, "bytes */100")


def test_what_the_client_has_is_not_sent_again(api: TestClient) -> None:
    etag = api.get("/a").headers["ETag"]
    for condition in (etag, f'"x", W/{etag}', "*"):
        answer = api.get("/a", headers={"If-None-Match": condition})
        assert (answer.status_code, answer.content) == (304, b"")
    assert api.get("/a", headers={"If-None-Match": '"x"'}).status_code == 200


def test_a_part_of_another_file_is_not_mixed_in(api: TestClient) -> None:
    etag = api.get("/a").headers["ETag"]
    part = {"Range": "bytes=5-"}
    assert api.get("/a", headers={**part, "If-Range": etag}).status_code == 206
    assert api.get("/a", headers={**part, "If-Range": '"x"'}).content == CONTENT


def test_a_head_has_no_body(api: TestClient) -> None:
    answer = api.head("/a", headers={"Range": "bytes=0-1"})
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["Content-Length"] == "100"


def test_an_empty_file_can_be_had(api: TestClient) -> None:
    assert api.get("/empty").content == b""
