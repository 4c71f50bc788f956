"""Texts and books sent as JSON or as files, and what becomes of them."""

from __future__ import annotations

import base64
import io
import json
from tempfile import SpooledTemporaryFile
from typing import Any

import av
import pytest
from fastapi.testclient import TestClient
from redis import Redis

from api.app import create_app
from shared.formats import Format
from shared.models import ModelCard
from shared.settings import Settings
from shared.storage import Storage
from shared.storage_paths import audio_key, chapter_key, reference_key, timings_key
from tests.support.audio_files import recording
from tests.support.epub_files import Page, make_epub
from tests.support.finished_job import finish
from tests.support.pictures import png
from tests.support.registered_workers import sign_in
from tests.support.valid_job import VALID_JOB

FORM = {"task": "custom_voice", "voice": "vivian"}
BOOK = "Alice was tired.\n\n# Down\n\nShe fell.\n\n# Up\n\nShe rose."


def send(api: TestClient, name: str, content: bytes, **fields: Any) -> Any:
    return api.post("/v1/jobs", data=FORM | fields, files={"file": (name, content)})


def spoken(redis: Redis, job_id: str) -> list[str]:
    total = int(redis.hget(f"tts:job:{job_id}", "total") or 0)
    return [str(redis.hget(f"tts:segment:{job_id}:{n}", "text")) for n in range(total)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("book.md", BOOK.encode()),
        (
            "book.epub",
            make_epub(
                [
                    Page(None, "<p>Alice was tired.</p>"),
                    Page("Down", "<h1>Down</h1><p>She fell.</p>"),
                    Page("Up", "<h1>Up</h1><p>She rose.</p>"),
                ],
                title="Something else",
            ),
        ),
    ],
)
def test_a_file_becomes_a_job_with_its_chapters(
    api: TestClient, redis: Redis, name: str, content: bytes
) -> None:
    sampling = json.dumps({"top_k": 5})
    said = {"seed": "7", "sampling": sampling, "metadata": '{"a": "b"}', "title": "Wonder"}
    answer = send(api, name, content, **said)
    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert job["title"] == "Wonder"
    assert [chapter["title"] for chapter in job["chapters"]] == ["Down", "Up"]
    texts = spoken(redis, job["id"])
    assert [texts[chapter["segment"]] for chapter in job["chapters"]] == ["Down", "Up"]
    assert {"Alice was tired.", "She fell.", "She rose."} <= set(texts)
    assert job["metadata"] == {"a": "b"}
    spec = json.loads(str(redis.hget(f"tts:job:{job['id']}", "spec")))
    assert (spec["seed"], spec["sampling"]["top_k"]) == (7, 5)


def test_markdown_may_come_as_json(api: TestClient, redis: Redis) -> None:
    job = api.post("/v1/jobs", json=VALID_JOB | {"input": BOOK, "input_format": "markdown"}).json()
    assert [chapter["title"] for chapter in job["chapters"]] == ["Down", "Up"]
    assert "#" not in "".join(spoken(redis, job["id"]))


def test_a_job_answers_what_was_left_out_of_its_text(api: TestClient, redis: Redis) -> None:
    text = "He was dead[1]. She rose.\n\n[1] Or so they said."
    sent = api.post("/v1/jobs", json=VALID_JOB | {"input": text}).json()
    (warning,) = sent["warnings"]
    assert (warning["code"], warning["where"]) == ("notes_skipped", None)
    assert api.get(sent["links"]["self"]).json()["warnings"] == sent["warnings"]
    assert spoken(redis, sent["id"]) == ["He was dead. She rose."]
    for job in (
        send(api, "a.txt", text.encode(), notes="read").json(),
        api.post("/v1/jobs", json=VALID_JOB | {"input": text, "notes": "read"}).json(),
    ):
        assert job["warnings"] == []
        assert spoken(redis, job["id"])[-1] == "[1] Or so they said."


def test_headings_of_a_plain_text_are_its_chapters(api: TestClient) -> None:
    text = "Chapter 1\n\nOne.\n\nChapter 2: On\n\nTwo."
    job = api.post("/v1/jobs", json=VALID_JOB | {"input": text, "title": "T"}).json()
    assert [chapter["title"] for chapter in job["chapters"]] == ["Chapter 1", "Chapter 2: On"]
    assert job["title"] == "T"


@pytest.mark.parametrize("before", ["\n\n", "* * *\n\n", "[pause 1s]\n\n", "\r\n \r\n"])
def test_a_chapter_after_what_is_not_spoken_begins_with_the_first_segment(
    api: TestClient, before: str
) -> None:
    text = before + "Chapter 1\n\nShe fell.\n\nChapter 2\n\nShe rose."
    job = api.post("/v1/jobs", json=VALID_JOB | {"input": text}).json()
    assert [chapter["segment"] for chapter in job["chapters"]] == [0, 2]


def test_paragraphs_without_words_are_skipped(api: TestClient) -> None:
    text = "…\n\nOne.\n\n🙂\n\n---\n\nTwo.\n\n?!"
    job = api.post("/v1/jobs", json=VALID_JOB | {"input": text}).json()
    assert job["segments"]["total"] == 2


def test_a_clone_may_bring_its_reference_in_the_form(api: TestClient, settings: Settings) -> None:
    sound = recording(2.0, silence_s=0.5)
    answer = api.post(
        "/v1/jobs",
        data={"task": "voice_clone", "reference_text": "Said."},
        files={"file": ("a.txt", b"Hello."), "reference": ("me.wav", sound)},
    )
    assert answer.status_code == 202, answer.text
    stored = Storage.open(settings.storage_url).get(reference_key(answer.json()["id"]))
    assert stored == sound


@pytest.mark.parametrize(
    ("form", "files", "status", "param", "says"),
    [
        ({}, {}, 400, "file", "field `file`"),
        ({"file": "text"}, {}, 400, "file", "field `file`"),
        ({}, {"file": ("a.pdf", b"%PDF-1.7")}, 415, "file", "PDF"),
        ({}, {"file": ("a.txt", b"\xff\xfe\xfd\xfc\xfb")}, 400, "file", "UTF-8"),
        ({}, {"file": ("a.txt", b"* * *")}, 400, "file", "nothing to speak"),
        ({}, {"file": ("a.epub", b"PK\x03\x04 no zip")}, 400, "file", "broken"),
        ({"task": "sing"}, {"file": ("a.txt", b"Hi.")}, 400, "task", "custom_voice"),
        ({"voice": "nobody"}, {"file": ("a.txt", b"Hi.")}, 400, "voice", "vivian"),
        ({"notes": "sing"}, {"file": ("a.txt", b"Hi.")}, 400, "notes", "'read'"),
        ({"pitch": "2"}, {"file": ("a.txt", b"Hi.")}, 400, "pitch", "pitch"),
        ({"seed": "soon"}, {"file": ("a.txt", b"Hi.")}, 400, "seed", "integer"),
        ({"sampling": "{"}, {"file": ("a.txt", b"Hi.")}, 400, "sampling", "JSON"),
        ({"input": "Hi."}, {"file": ("a.txt", b"Hi.")}, 400, "input", "file"),
        (
            {},
            {"file": ("a.txt", b"Hi."), "title": ("v.wav", b"RIFF")},
            400,
            "title",
            "is no file",
        ),
        (
            {"reference_text": "Hi."},
            {"file": ("a.txt", b"Hi.")},
            400,
            "reference_text",
            "goes with",
        ),
        ({}, {"file": ("a.txt", b"[pause 90s] Hi. [pause 90s]")}, 400, "input", "pause"),
        ({}, {"file": ("a.txt", b"x" * 1_001)}, 400, "file", "1,000"),
    ],
)
def test_a_bad_form_names_its_field_and_queues_nothing(
    api: TestClient,
    redis: Redis,
    form: dict[str, str],
    files: dict[str, Any],
    status: int,
    param: str,
    says: str,
) -> None:
    empty = {"nothing": ("", b"")} if not files else {}
    answer = api.post("/v1/jobs", data=FORM | form, files=files or empty)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (status, param), answer.text
    assert says in error["message"]
    assert redis.keys("tts:job:*") == []


def test_two_files_are_refused(api: TestClient) -> None:
    files = [("file", (name, b"Hi.")) for name in ("a.txt", "b.txt")]
    answer = api.post("/v1/jobs", data=FORM, files=files)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "file")


@pytest.mark.parametrize("charset", ["undefined", "unicode_escape", "latin-1"])
def test_a_form_in_another_encoding_is_refused(api: TestClient, charset: str) -> None:
    headers = {"Content-Type": f"multipart/form-data; boundary=x; charset={charset}"}
    body = b'--x\r\nContent-Disposition: form-data; name="\\ud800"\r\n\r\na\r\n--x--\r\n'
    answer = api.post("/v1/jobs", content=body, headers=headers)
    assert (answer.status_code, answer.json()["error"]["param"]) == (415, "Content-Type")


def test_a_form_that_is_none_is_refused(api: TestClient) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = api.post("/v1/jobs", content=b"--y\r\nnonsense", headers=headers)
    assert answer.status_code == 400
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


def test_a_finished_book_has_all_its_parts(
    api: TestClient, redis: Redis, settings: Settings
) -> None:
    asked = {"response_format": "flac", "chapter_files": "true", "title": "Wonder & Land"}
    job = send(api, "b.md", BOOK.encode(), **asked).json()
    links = job["links"]
    for part in ("content", "timings", "subtitles"):
        early = api.get(links[part])
        assert (early.status_code, early.headers["x-should-retry"]) == (409, "false")
    finish(job["id"], redis, settings)
    done = api.get(links["self"]).json()
    assert (done["status"], done["audio"]["format"]) == ("completed", "flac")
    sound = api.get(links["content"])
    assert sound.headers["content-type"] == "audio/flac"
    assert 'filename="Wonder & Land.flac"' in sound.headers["content-disposition"]
    assert sound.content[:4] == b"fLaC"
    assert len(sound.content) == done["audio"]["bytes"]
    told = api.get(links["timings"]).json()
    assert [chapter["title"] for chapter in told["chapters"]] == ["Down", "Up"]
    assert told["duration_s"] == done["audio"]["seconds"]
    vtt = api.get(links["subtitles"])
    assert vtt.headers["content-type"].startswith("text/vtt")
    assert vtt.text.startswith("WEBVTT\n\n")
    srt = api.get(links["subtitles"], params={"format": "srt"})
    assert srt.text.startswith("1\n00:00:00,000 --> ")
    assert api.get(links["subtitles"], params={"format": "ass"}).status_code == 400
    for number, name in enumerate(("0 Wonder & Land", "1 Down", "2 Up")):
        chapter = api.get(f"{links['self']}/chapters/{number}/content")
        assert chapter.status_code == 200, chapter.text
        assert f'filename="{name}.flac"' in chapter.headers["content-disposition"]
    assert api.get(f"{links['self']}/chapters/3/content").status_code == 404
    for absurd in ("-1", "9" * 300):
        assert api.get(f"{links['self']}/chapters/{absurd}/content").status_code == 400


def test_without_chapter_files_there_are_none(
    api: TestClient, redis: Redis, settings: Settings
) -> None:
    job = send(api, "b.md", BOOK.encode()).json()
    finish(job["id"], redis, settings)
    answer = api.get(f"{job['links']['self']}/chapters/1/content")
    assert (answer.status_code, answer.json()["error"]["param"]) == (404, "number")
    assert "chapter_files" in answer.json()["error"]["message"]


def test_the_description_has_both_kinds_of_body(api: TestClient) -> None:
    described = api.get("/openapi.json").json()
    body = described["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]
    assert set(body) == {"application/json", "multipart/form-data"}
    names = [each["$ref"].rsplit("/", 1)[1] for each in body["application/json"]["schema"]["oneOf"]]
    assert set(names) <= set(described["components"]["schemas"])


def test_what_lies_beside_the_audio_is_found_from_its_key() -> None:
    key = audio_key("j", 7, Format.M4B)
    assert (key, chapter_key(key, 3), timings_key(key)) == (
        *("jobs/j/7/audio.m4b", "jobs/j/7/chapter-3.m4b", "jobs/j/7/timings.json"),
    )


def test_a_poll_lists_the_first_chapters_and_there_is_a_most(
    settings: Settings, redis: Redis, card: ModelCard
) -> None:
    sign_in(redis, card)

    def book(chapters: int) -> dict[str, str]:
        parts = (f"Chapter {n}\n\nIt was day {n}." for n in range(1, chapters + 1))
        return VALID_JOB | {"input": "\n\n".join(parts)}

    with TestClient(create_app(settings.model_copy(update={"max_input_chars": 10**6}))) as api:
        job = api.post("/v1/jobs", json=book(150)).json()
        assert (len(job["chapters"]), job["chapter_count"]) == (100, 150)
        assert api.get(job["links"]["self"]).json()["chapters"] == job["chapters"]
        assert api.post("/v1/jobs", json=book(2_000)).status_code == 202
        refused = api.post("/v1/jobs", json=book(2_001))
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "input")
        assert "2,001 chapters" in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    ("headers", "fields", "status"),
    [
        ({}, {}, 202),
        ({"Cancel-After": "soon"}, {}, 400),
        ({}, {"model": "none"}, 400),
        ({}, {"seed": "x"}, 400),
    ],
)
def test_a_form_is_closed_whatever_comes_of_it(
    api: TestClient,
    monkeypatch: pytest.MonkeyPatch,
    headers: dict[str, str],
    fields: dict[str, str],
    status: int,
) -> None:
    opened: list[SpooledTemporaryFile[bytes]] = []

    def open_file(max_size: int) -> SpooledTemporaryFile[bytes]:
        opened.append(SpooledTemporaryFile(max_size))  # noqa: SIM115 - the form closes it
        return opened[-1]

    monkeypatch.setattr("starlette.formparsers.SpooledTemporaryFile", open_file)
    answer = api.post(
        "/v1/jobs", data=FORM | fields, files={"file": ("a.txt", b"Hello.")}, headers=headers
    )
    assert answer.status_code == status, answer.text
    assert [file.closed for file in opened] == [True]


@pytest.mark.parametrize(
    ("fields", "said", "codes"),
    [
        ({}, "It cost $3.", []),
        ({"normalise": "numbers", "language": "en"}, "It cost three dollars.", []),
        ({"normalise": "numbers"}, "It cost three dollars.", ["number_language_guessed"]),
        ({"normalise": "off"}, "It cost $3.", []),
    ],
)
def test_numbers_are_written_out_if_asked(
    api: TestClient, redis: Redis, fields: dict[str, str], said: str, codes: list[str]
) -> None:
    job = api.post("/v1/jobs", json=VALID_JOB | fields | {"input": "It cost $3."}).json()
    assert spoken(redis, job["id"]) == [said]
    assert [warning["code"] for warning in job["warnings"]] == codes
    job = send(api, "a.txt", b"It cost $3.", **fields).json()
    assert spoken(redis, job["id"]) == [said]
    assert [warning["code"] for warning in job["warnings"]] == codes


def cover_of(api: TestClient, redis: Redis, settings: Settings, job: Any, kind: str) -> bytes:
    finish(job["id"], redis, settings)
    answer = api.get(job["links"]["content"], params={"format": kind})
    with av.open(io.BytesIO(answer.content)) as file:
        packets = file.demux(file.streams.video) if file.streams.video else ()
        return b"".join(map(bytes, packets))


@pytest.mark.parametrize("kind", ["m4b", "mp3"])
def test_a_cover_is_in_the_file(
    api: TestClient, redis: Redis, settings: Settings, kind: str
) -> None:
    sent = base64.b64encode(png()).decode()
    for cover in (sent, f"data:image/png;base64,{sent}"):
        job = api.post("/v1/jobs", json=VALID_JOB | {"cover": cover, "response_format": kind})
        assert cover_of(api, redis, settings, job.json(), kind) == png()
    item = '<item id="c" href="c.png" media-type="image/png" properties="cover-image"/>'
    page = Page("Down", "<h1>Down</h1><p>She fell.</p>")
    book = make_epub([page], manifest=item, more={"OEBPS/c.png": png(9, 9)})
    job = send(api, "b.epub", book).json()  # WAV, and made into another format when asked for
    assert cover_of(api, redis, settings, job, kind) == png(9, 9)
    files = {"file": ("b.epub", book), "cover": ("c", png(5, 5))}
    job = api.post("/v1/jobs", data=FORM | {"response_format": kind}, files=files).json()
    assert cover_of(api, redis, settings, job, kind) == png(5, 5)


@pytest.mark.parametrize("cover", ["", "nonsense", "R0lGODlhAQABAAAAACw="])
def test_a_cover_that_is_no_picture_is_refused(api: TestClient, cover: str) -> None:
    answer = api.post("/v1/jobs", json=VALID_JOB | {"cover": cover})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "cover")
