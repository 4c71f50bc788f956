"""The contents of a document, asked for without queuing anything."""

from __future__ import annotations

import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from redis import Redis

from shared.models import ModelCard
from shared.settings import Settings
from tests.support.epub_files import Page, make_epub
from tests.support.live_server import serving
from tests.support.registered_workers import sign_in
from tests.support.valid_job import VALID_JOB

BOOK = make_epub(
    [
        Page("Copyright", "<p>All rights reserved.</p>"),
        Page("One", "<h2>One</h2><p>She fell.</p>"),
        Page("Two", "<h2>Two</h2><p>She rose.</p>"),
    ]
)


def contents(api: TestClient, content: bytes = BOOK, name: str = "a.epub", **fields: str) -> Any:
    return api.post("/v1/documents", data=fields, files={"file": (name, content)})


def test_a_book_is_listed_and_nothing_is_queued(api: TestClient, redis: Redis) -> None:
    answer = contents(api)
    assert answer.status_code == 200, answer.text
    document = answer.json()
    assert (document["title"], document["author"]) == ("A Book", "A. Writer")
    assert (document["language"], document["cover"]) == ("english", None)
    assert [
        (each["number"], each["title"], each["kind"], each["spoken"], each["characters"])
        for each in document["sections"]
    ] == [
        (1, "Copyright", "copyright", False, 20),
        (2, "One", "chapter", True, 14),
        (3, "Two", "chapter", True, 14),
    ]
    assert document["characters"] == 28
    assert document["seconds"] == pytest.approx(
        sum(each["seconds"] for each in document["sections"][1:])
    )
    assert [each["code"] for each in document["warnings"]] == ["front_matter_skipped"]
    assert redis.keys("tts:job:*") == []


def test_the_options_of_a_job_count(api: TestClient) -> None:
    read = contents(api, front_matter="read").json()
    assert [each["spoken"] for each in read["sections"]] == [True, True, True]
    chosen = contents(api, chapters="3").json()
    assert [each["spoken"] for each in chosen["sections"]] == [False, False, True]


def test_a_text_may_come_as_json(api: TestClient) -> None:
    text = "# One\n\nShe fell.\n\n# Two\n\nShe rose."
    body = {"input": text, "input_format": "markdown"}
    document = api.post("/v1/documents", json=body).json()
    assert [each["title"] for each in document["sections"]] == ["One", "Two"]
    plain = api.post("/v1/documents", json={"input": "Chapter 1\n\nShe fell."}).json()
    assert [each["title"] for each in plain["sections"]] == ["Chapter 1"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"chapters": "9"}, "chapters"),
        ({"chapters": "one"}, "chapters"),
        ({"front_matter": "yes"}, "front_matter"),
        ({"voice": "vivian"}, "voice"),
    ],
)
def test_a_wrong_field_is_refused(api: TestClient, fields: dict[str, str], param: str) -> None:
    answer = contents(api, **fields)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_what_is_no_document_is_refused(api: TestClient) -> None:
    assert contents(api, b"PK\x03\x04", "a.docx").status_code == 415
    assert api.post("/v1/documents", data={"notes": "skip"}).status_code in (400, 415)
    assert api.post("/v1/documents", content=b"x").status_code == 415
    over = api.post("/v1/documents", json={"input": "x" * 1_001})
    assert (over.status_code, over.json()["error"]["param"]) == (400, "input")


def test_a_job_speaks_the_chosen_chapters(api: TestClient, redis: Redis) -> None:
    form = {"task": "custom_voice", "voice": "vivian", "chapters": "1,3"}
    job = api.post("/v1/jobs", data=form, files={"file": ("a.epub", BOOK)}).json()
    assert [chapter["title"] for chapter in job["chapters"]] == ["Copyright", "Two"]
    total = job["segments"]["total"]
    texts = [redis.hget(f"tts:segment:{job['id']}:{n}", "text") for n in range(total)]
    assert "She rose." in texts
    assert "She fell." not in texts
    text = "Chapter 1\n\nShe fell.\n\nChapter 2\n\nShe rose."
    chosen = api.post("/v1/jobs", json=VALID_JOB | {"input": text, "chapters": "2"}).json()
    assert [chapter["title"] for chapter in chosen["chapters"]] == ["Chapter 2"]
    wrong = api.post("/v1/jobs", json=VALID_JOB | {"input": text, "chapters": "3"})
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "chapters")


DAMAGE = st.tuples(st.integers(0, len(BOOK) - 1), st.integers(0, 255))
FILES = st.one_of(
    st.binary(max_size=300),
    st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.text("abc\n #*[]()<>&;1.第章—", max_size=200).map(str.encode),
    st.sampled_from(("gb18030", "cp1251", "utf-16", "shift_jis")).map(
        lambda codec: "Привет, 世界".encode(codec, "ignore")
    ),
    st.lists(DAMAGE, max_size=12).map(lambda changes: damaged(changes)),
)


def damaged(changes: list[tuple[int, int]]) -> bytes:
    """The book with some of its bytes replaced."""
    book = bytearray(BOOK)
    for place, byte in changes:
        book[place] = byte
    return bytes(book)


@examples(max_examples=150, suppress_health_check=list(HealthCheck), deadline=None)
@given(FILES, st.sampled_from(("a.epub", "a.txt", "a.md", "a", "a.pdf")))
def test_no_document_makes_the_api_fail(api: TestClient, content: bytes, name: str) -> None:
    answer = contents(api, content, name)
    assert answer.status_code in (200, 400, 415), answer.text
    if answer.status_code != 200:
        assert answer.json()["error"]["message"]


def test_a_book_of_five_megabytes_is_listed_while_other_requests_go_on(
    settings: Settings, redis: Redis, card: ModelCard
) -> None:
    prose = "<p>“It was a <em>dark</em> night,” she said; nobody slept in the old house.</p>" * 900
    pages = [Page(f"C{n}", f"<h2>Chapter {n}</h2>{prose}") for n in range(72)]
    book = make_epub(pages, compression=zipfile.ZIP_STORED)
    assert len(book) > 5_000_000
    sign_in(redis, card)
    wide = settings.model_copy(
        update={"max_input_chars": 6_000_000, "max_body_bytes": 2**24, "max_bodies_bytes": 2**26}
    )
    with (
        serving(wide) as url,
        ThreadPoolExecutor(1) as threads,
        httpx.Client(base_url=url, timeout=60) as other,
    ):
        files = {"file": ("a.epub", book)}
        asked = threads.submit(httpx.post, f"{url}/v1/documents", files=files, timeout=60)
        waits = []
        while not asked.done():
            began_s = time.perf_counter()
            assert other.get("/healthz").status_code == 200
            waits.append(time.perf_counter() - began_s)
            time.sleep(0.02)
        answer = asked.result()
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["sections"]) == 72
    # However slow the machine is, the others do not wait for it.
    assert sorted(waits)[len(waits) // 2] < answer.elapsed.total_seconds() / 2


def test_a_selection_that_is_none_is_explained(api: TestClient) -> None:
    error = contents(api, chapters="1;2").json()["error"]
    assert error["message"] == (
        "chapters: Value error, write the numbers of sections, such as 3-7,9"
    )
    assert error["param"] == "chapters"


def test_the_title_of_a_request_is_one_line(api: TestClient) -> None:
    job = api.post("/v1/jobs", json=VALID_JOB | {"title": " The\n\0Lamp "}).json()
    assert job["title"] == "The Lamp"
    refused = api.post("/v1/jobs", json=VALID_JOB | {"title": "\0"})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "title")
