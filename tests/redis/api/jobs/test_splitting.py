"""Long texts wait for threads of their own, and stop at a limit of CPU time."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from fastapi import Request
from fastapi.testclient import TestClient
from redis import Redis
from starlette.requests import ClientDisconnect
from starlette.types import Message

from api.app import create_app
from api.http.access_log import add_to_log
from api.jobs.splitting import LONG_BYTES, Splitter
from api.text.cpu_limit import check_cpu, cpu_limit
from api.text.segmentation import split
from client.local.redis_server import RedisServer
from shared.errors import SplitterBusy, TooComplex
from shared.log_context import log_context
from shared.models import ModelCard
from shared.settings import Settings
from tests.support.epub_files import Page, make_epub
from tests.support.live_server import serving
from tests.support.registered_workers import sign_in

LONG = LONG_BYTES + 1
ASKED = {"task": "custom_voice", "voice": "vivian"}
PROSE = "It was a dark night, and nobody slept. " * 4_000


def request(client: str, *, gone: bool = False, token: str = "") -> Request:
    async def receive() -> Message:
        if not gone:
            await asyncio.sleep(60)
        return {"type": "http.disconnect"}

    headers = [(b"authorization", f"Bearer {token}".encode())] if token else []
    return Request({"type": "http", "headers": headers, "client": (client, 1)}, receive)


def test_a_limit_stops_a_split_within_one_paragraph() -> None:
    began_s = time.thread_time()
    with cpu_limit(0.05), pytest.raises(TooComplex, match="TTS_MAX_SPLIT_CPU_S"):
        split(PROSE * 10, "english", 240)
    assert time.thread_time() - began_s < 1
    split(PROSE, "english", 240)  # there is none outside


def test_a_limit_within_another_does_not_extend_it() -> None:
    with cpu_limit(0), cpu_limit(60), pytest.raises(TooComplex):
        check_cpu()


def test_another_thread_has_no_part_in_a_limit() -> None:
    with cpu_limit(0), ThreadPoolExecutor(1) as pool:
        pool.submit(check_cpu).result()


@pytest.fixture
def short_of_time(settings: Settings, redis: Redis, card: ModelCard) -> Iterator[TestClient]:
    sign_in(redis, card)
    changes = {"max_input_chars": 10**7, "max_body_bytes": 2**24, "max_split_cpu_s": 0.01}
    with TestClient(create_app(settings.model_copy(update=changes))) as client:
        yield client


def test_a_submission_that_takes_too_long_is_refused(short_of_time: TestClient) -> None:
    batch = json.dumps({"custom_id": "1", "body": {**ASKED, "input": PROSE}}).encode()
    jsonl = {"Content-Type": "application/jsonl"}
    book = make_epub([Page(None, f"<p>{PROSE}</p>" * 5)])
    for answer in (
        short_of_time.post("/v1/jobs", json={**ASKED, "input": PROSE}),
        short_of_time.post("/v1/jobs", json={**ASKED, "input": PROSE, "input_format": "markdown"}),
        short_of_time.post("/v1/jobs", data=ASKED, files={"file": ("a.txt", PROSE.encode())}),
        short_of_time.post("/v1/jobs", data=ASKED, files={"file": ("a.epub", book)}),
        short_of_time.post("/v1/batches", content=batch, headers=jsonl),
    ):
        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error["param"]) == (
            400,
            "input_too_complex",
            "input",
        )
    assert short_of_time.post("/v1/jobs", json={**ASKED, "input": "Go."}).status_code == 202


def test_clients_take_turns() -> None:
    done: list[str] = []

    async def ask() -> None:
        splitter, go = Splitter(threads=1, max_waiting=20), threading.Event()

        async def run(client: str) -> None:
            await splitter.run(request(client), LONG, lambda: done.append(client))

        first = asyncio.create_task(splitter.run(request("x"), LONG, go.wait))
        await asyncio.sleep(0)
        others = [asyncio.create_task(run(client)) for client in "aaaabc"]
        await asyncio.sleep(0.05)
        go.set()
        await asyncio.gather(first, *others)
        await run("d")  # its thread is free again

    asyncio.run(ask())
    assert done == list("abcaaad")


def test_a_short_text_does_not_wait_for_long_ones() -> None:
    async def ask() -> None:
        splitter, go = Splitter(threads=1, max_waiting=20), threading.Event()
        long = asyncio.create_task(splitter.run(request("x"), LONG, go.wait))
        await asyncio.sleep(0.01)
        assert await splitter.run(request("x"), LONG_BYTES, lambda: "done") == "done"
        go.set()
        await long

    asyncio.run(ask())


def test_no_more_wait_than_may_and_half_of_them_of_one_client() -> None:
    async def ask() -> None:
        splitter, go = Splitter(threads=1, max_waiting=4), threading.Event()
        tasks = [
            asyncio.create_task(splitter.run(request(client), LONG, go.wait)) for client in "aaabb"
        ]
        await asyncio.sleep(0.01)
        for client in "ac":
            with pytest.raises(SplitterBusy) as refused:
                await splitter.run(request(client), LONG, go.wait)
            assert refused.value.retry_after_s > 0
        go.set()
        await asyncio.gather(*tasks)

    asyncio.run(ask())


def test_a_made_up_token_makes_no_other_client() -> None:
    async def ask() -> None:
        splitter, go = Splitter(threads=1, max_waiting=4), threading.Event()
        asked = [request("a", token=token) for token in ("x", "y", "z")]
        tasks = [asyncio.create_task(splitter.run(each, LONG, go.wait)) for each in asked]
        await asyncio.sleep(0.01)
        with pytest.raises(SplitterBusy):
            async with asyncio.timeout(5):
                await splitter.run(request("a", token="w"), LONG, go.wait)
        go.set()
        await asyncio.gather(*tasks)

    asyncio.run(ask())


def test_a_client_with_a_key_is_its_owner_whatever_its_address() -> None:
    async def of(owner: str, key: str, asked: Request, work: Callable[[], object]) -> None:
        with log_context(request="1"):
            add_to_log(owner=owner, key=key)
            await splitter.run(asked, LONG, work)

    async def ask() -> None:
        asked = [("ann", "1", "a"), ("ann", "1", "b"), ("ann", "2", "c")]
        tasks = [
            asyncio.create_task(of(owner, key, request(address), go.wait))
            for owner, key, address in asked
        ]
        await asyncio.sleep(0.01)
        with pytest.raises(SplitterBusy):
            async with asyncio.timeout(5):
                await of("ann", "3", request("d"), go.wait)
        bens = asyncio.create_task(of("ben", "4", request("a"), go.wait))
        await asyncio.sleep(0.01)
        go.set()
        await asyncio.gather(*tasks, bens)

    splitter, go = Splitter(threads=1, max_waiting=4), threading.Event()
    asyncio.run(ask())


def test_work_of_a_client_that_has_gone_is_dropped() -> None:
    ran: list[str] = []

    async def ask() -> None:
        splitter, go = Splitter(threads=1, max_waiting=9), threading.Event()
        first = asyncio.create_task(splitter.run(request("x"), LONG, go.wait))
        await asyncio.sleep(0.01)
        gone = asyncio.create_task(
            splitter.run(request("a", gone=True), LONG, lambda: ran.append("gone"))
        )
        cancelled = asyncio.create_task(
            splitter.run(request("b"), LONG, lambda: ran.append("cancelled"))
        )
        last = asyncio.create_task(splitter.run(request("c"), LONG, lambda: ran.append("last")))
        await asyncio.sleep(0.01)
        cancelled.cancel()
        go.set()
        await asyncio.gather(first, last)
        with pytest.raises(ClientDisconnect):
            await gone

    asyncio.run(ask())
    assert ran == ["last"]


def test_light_requests_are_answered_beside_heavy_ones(
    redis_server: RedisServer, redis: Redis, card: ModelCard, tmp_path: Path
) -> None:
    sign_in(redis, card)
    settings = Settings(
        redis_url=redis_server.url,
        storage_url=(tmp_path / "results").as_uri(),
        split_threads=1,
        max_waiting_splits=4,
    )
    with serving(settings) as url, ThreadPoolExecutor(12) as pool, httpx.Client() as http:

        def heavy(_: int) -> int:
            return httpx.post(
                f"{url}/v1/jobs", json={**ASKED, "input": PROSE * 5}, timeout=60
            ).status_code

        asked = [pool.submit(heavy, number) for number in range(12)]
        waits = []
        while not all(each.done() for each in asked):
            began_s = time.monotonic()
            answer = http.post(f"{url}/v1/jobs", json={**ASKED, "input": "Go."}, timeout=60)
            waits.append(time.monotonic() - began_s)
            assert answer.status_code == 202
        statuses = [each.result() for each in asked]
    assert set(statuses) == {202, 503}
    assert sorted(waits)[len(waits) // 2] < 1
