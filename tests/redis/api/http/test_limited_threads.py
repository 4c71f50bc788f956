"""A storage that hangs: what needs it is refused soon, and all else goes on."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from redis import Redis

from api.app import create_app
from api.http.limited_threads import STORAGE_THREADS, LimitedThreads
from shared.errors import Unavailable
from shared.models import ModelCard
from shared.settings import Settings
from shared.storage import PIECE_BYTES, Storage
from tests.support.audio_files import recording
from tests.support.finished_job import finish
from tests.support.live_server import serving
from tests.support.processes import frozen
from tests.support.registered_workers import sign_in
from tests.support.s3_server import BUCKET, S3Server
from tests.support.valid_job import VALID_JOB

DOWNLOADS = 45
# The limit of the answer, and some time for 45 threads of a test on a machine with other work.
ANSWER_S = 5.0 + 3.0


@pytest.fixture
def server(
    s3: S3Server, settings: Settings, redis: Redis, card: ModelCard, tmp_path: Path
) -> Iterator[httpx.Client]:
    """An API with a finished job `done` and a voice `mine`, on S3."""
    sign_in(redis, card)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3.env.items():
            patch.setenv(name, value)
        settings = settings.model_copy(update={"storage_url": f"s3://{BUCKET}/{tmp_path.name}"})
        limits = httpx.Limits(max_connections=200)
        with serving(settings) as url, httpx.Client(base_url=url, timeout=60, limits=limits) as api:
            api.put("/v1/jobs/done", json=VALID_JOB).raise_for_status()
            (done,) = redis.scan_iter("tts:job:job_*")
            finish(done.removeprefix("tts:job:"), redis, settings)
            api.post(
                "/v1/audio/voices",
                data={"name": "mine", "consent": "I am the speaker."},
                files={"audio_sample": ("me.wav", recording(3.0))},
            ).raise_for_status()
            yield api


def clone(sound: bytes) -> dict[str, Any]:
    """A job with a recording, which goes into the storage before it is accepted."""
    audio = base64.b64encode(sound).decode()
    return {"task": "voice_clone", "input": "Hi.", "reference": {"audio": audio}}


def job_of_a_file(api: httpx.Client) -> httpx.Response:
    """A job that has nothing to store, since its text goes into the ledger."""
    asked = {"task": "custom_voice", "voice": "vivian"}
    return api.post("/v1/jobs", data=asked, files={"file": ("a.txt", b"Hello. " * 100)})


CALLS: dict[str, Callable[[httpx.Client], httpx.Response]] = {
    "content": lambda api: api.get("/v1/jobs/done/content"),
    "range": lambda api: api.get("/v1/jobs/done/content", headers={"Range": "bytes=5-90"}),
    "head": lambda api: api.head("/v1/jobs/done/content"),
    "another format": lambda api: api.get("/v1/jobs/done/content?format=flac"),
    "timings": lambda api: api.get("/v1/jobs/done/timings"),
    "subtitles": lambda api: api.get("/v1/jobs/done/subtitles"),
    "sample": lambda api: api.get("/v1/audio/voices/mine/sample"),
    "job of a voice": lambda api: api.post(
        "/v1/jobs", json={"task": "voice_clone", "input": "Hi.", "voice": "mine"}
    ),
    "job of a recording": lambda api: api.post("/v1/jobs", json=clone(recording(6.0))),
    "job of a file": lambda api: api.post(
        "/v1/jobs",
        data={"task": "voice_clone"},
        files={"file": ("a.txt", b"Hello."), "reference": ("me.wav", recording(3.0))},
    ),
    "speech": lambda api: api.post("/v1/audio/speech", json={"input": "Hi.", "voice": "mine"}),
    "preview": lambda api: api.post("/v1/audio/voices/mine/preview"),
    "voice": lambda api: api.post(
        "/v1/audio/voices",
        data={"name": "other", "consent": "I am the speaker."},
        files={"audio_sample": ("me.wav", recording(3.0))},
    ),
}


def test_all_else_goes_on(server: httpx.Client, s3: S3Server) -> None:
    def timed(call: Callable[[httpx.Client], httpx.Response]) -> tuple[int, float]:
        began_s = time.monotonic()
        answer = call(server)
        if answer.status_code == 503:
            assert int(answer.headers["Retry-After"]) > 0
        return answer.status_code, time.monotonic() - began_s

    over, others = Event(), list[tuple[int, float]]()

    def go_on() -> None:
        while not over.wait(0.02):
            others.append(timed(lambda api: api.post("/v1/jobs", json=VALID_JOB)))
            others.append(timed(lambda api: api.get("/v1/jobs/done")))
            others.append(timed(job_of_a_file))

    calls = [*[CALLS["content"]] * DOWNLOADS, *CALLS.values(), *CALLS.values()]
    with frozen(s3.child), ThreadPoolExecutor(len(calls) + 1) as threads:
        going = threads.submit(go_on)
        slow = list(threads.map(timed, calls))
        over.set()
        going.result()
    assert {status for status, _ in slow} == {503}
    assert max(seconds for _, seconds in slow) < ANSWER_S
    assert len(others) > 2
    assert {status for status, _ in others} <= {200, 202}
    assert max(seconds for _, seconds in others) < 4  # less than the limit of an answer


def test_a_deletion_is_accepted_and_its_files_are_swept_later(
    server: httpx.Client, s3: S3Server, redis: Redis
) -> None:
    job = server.post("/v1/jobs", json=VALID_JOB).json()["links"]["self"]
    with frozen(s3.child):
        assert server.delete(job).status_code == 200
        assert server.delete("/v1/audio/voices/mine").status_code == 200
    assert server.get(job).status_code == 404
    assert server.get("/v1/audio/voices/mine").status_code == 404
    assert redis.zcard("tts:voice_folders") == 1


def test_a_download_that_stalls_in_the_middle_is_broken_off(
    server: httpx.Client, s3: S3Server, redis: Redis, tmp_path: Path
) -> None:
    (done,) = redis.scan_iter("tts:job:job_*")
    key = redis.hget(done, "result_key")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3.env.items():
            patch.setenv(name, value)
        Storage.open(f"s3://{BUCKET}/{tmp_path.name}").put(str(key), b"-" * 40 * PIECE_BYTES)
    began_s = time.monotonic()
    with server.stream("GET", "/v1/jobs/done/content") as answer:
        content = answer.iter_raw()
        next(content)
        with frozen(s3.child), pytest.raises(httpx.RemoteProtocolError):
            for _ in content:
                pass
    assert time.monotonic() - began_s < 30
    whole = server.get("/v1/jobs/done/content").content
    assert len(whole) == 40 * PIECE_BYTES


def test_more_than_may_wait_are_refused_at_once() -> None:
    async def crowd() -> tuple[list[object], float]:
        threads, free = (
            LimitedThreads(threads=1, max_waiting=1, max_wait_s=1.0, refusal="wait"),
            Event(),
        )
        first = asyncio.create_task(threads.run(free.wait, 10))
        await asyncio.sleep(0.05)
        began_s = time.monotonic()
        waiting = asyncio.create_task(threads.run(int))
        await asyncio.sleep(0)
        at_once = (await asyncio.gather(threads.run(int), return_exceptions=True))[0]
        at_once_s = time.monotonic() - began_s
        later = (await asyncio.gather(waiting, return_exceptions=True))[0]
        free.set()
        return [await first, at_once, later, await threads.run(int)], at_once_s

    (first, at_once, later, after), at_once_s = asyncio.run(crowd())
    assert (first, after) == (True, 0)
    assert isinstance(at_once, Unavailable)
    assert isinstance(later, Unavailable)
    assert at_once_s < 1.0


def test_a_call_that_is_cancelled_gives_its_thread_back() -> None:
    begun, free = Event(), Event()

    def hold() -> None:
        begun.set()
        assert free.wait(10)

    async def leave() -> int:
        threads = LimitedThreads(threads=1, max_waiting=9, max_wait_s=5, refusal="wait")
        calls = [asyncio.create_task(threads.run(hold)) for _ in range(3)]
        assert await asyncio.to_thread(begun.wait, 10)  # one runs, the others wait for its thread
        for call in calls:
            call.cancel()
        free.set()
        return await threads.run(int)

    assert asyncio.run(leave()) == 0


@pytest.fixture
def full(settings: Settings, redis: Redis, card: ModelCard) -> Iterator[TestClient]:
    """An API whose threads for the storage are all held."""
    sign_in(redis, card)
    free, app = Event(), create_app(settings)
    with TestClient(app) as api:
        assert api.portal is not None
        for _ in range(STORAGE_THREADS):
            api.portal.start_task_soon(app.state.services.storage_threads.run, free.wait)
        yield api
        free.set()


SENT: dict[str, Callable[[TestClient, bytes], httpx.Response]] = {
    "job": lambda api, sound: api.post("/v1/jobs", json=clone(sound)),
    "job of a file": lambda api, sound: api.post(
        "/v1/jobs",
        data={"task": "voice_clone"},
        files={"file": ("a.txt", b"Hello."), "reference": ("me.wav", sound)},
    ),
    "speech": lambda api, sound: api.post(
        "/v1/audio/speech",
        json={"input": "Hi.", "ref_audio": clone(sound)["reference"]["audio"]},
    ),
    "batch": lambda api, sound: api.post(
        "/v1/batches",
        content=json.dumps({"custom_id": "1", "body": clone(sound)}),
        headers={"Content-Type": "application/jsonl"},
    ),
    "voice": lambda api, sound: api.post(
        "/v1/audio/voices",
        data={"name": "other", "consent": "I am the speaker."},
        files={"audio_sample": ("me.wav", sound)},
    ),
}


@pytest.mark.parametrize("sent", SENT.values(), ids=SENT)
def test_a_recording_is_decoded_without_a_thread_of_the_storage(
    sent: Callable[[TestClient, bytes], httpx.Response], full: TestClient
) -> None:
    assert sent(full, b"no sound").status_code == 400
    assert sent(full, recording(3.0)).status_code == 503


def test_a_recording_is_fetched_without_a_thread_of_the_storage(full: TestClient) -> None:
    job = {"task": "voice_clone", "input": "Hi.", "reference": {"audio": "http://127.0.0.1:1/a"}}
    refused = full.post("/v1/jobs", json=job)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "reference.audio")
