"""Listeners have limits, share their look-ups, and leave the others alone."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from redis import Redis

from api.app import create_app
from api.http.rate_limit import MAX_BUCKETS, RateLimit
from api.jobs.feeds import JobFeeds
from shared.errors import TooManyRequests, Unavailable
from shared.jobs import Status
from shared.models import ModelCard
from shared.settings import Settings
from shared.store.api_keys import ApiKeys
from shared.store.connection import connect
from shared.store.ledger import Ledger
from tests.support.live_server import serving
from tests.support.processes import wait_until
from tests.support.registered_workers import sign_in
from tests.support.valid_job import VALID_JOB


@pytest.fixture
def few(settings: Settings, redis: Redis, card: ModelCard) -> Settings:
    sign_in(redis, card)
    return settings.model_copy(update={"max_listeners": 5, "max_owner_listeners": 3})


@pytest.fixture
def url(few: Settings) -> Iterator[str]:
    with serving(few) as url:
        yield url


def code_of(answer: httpx.Response) -> str:
    answer.read()
    return str(answer.json()["error"]["code"])


def test_an_owner_and_all_have_so_many_listeners(url: str, redis: Redis) -> None:
    ann, ben = (
        {"Authorization": f"Bearer {ApiKeys(redis).create(name)[1]}"} for name in ("ann", "ben")
    )
    wait_until(lambda: httpx.get(f"{url}/v1/jobs").status_code == 401)
    events = {}
    for who, headers in (("ann", ann), ("ben", ben)):
        job = httpx.post(f"{url}/v1/jobs", json=VALID_JOB, headers=headers).json()
        events[who] = url + job["links"]["events"]
    with httpx.Client(timeout=30) as client, ExitStack() as held:

        def listen(who: str, headers: dict[str, str]) -> httpx.Response:
            return held.enter_context(client.stream("GET", events[who], headers=headers))

        assert [listen("ann", ann).status_code for _ in range(3)] == [200] * 3
        refused = listen("ann", ann)
        assert (refused.status_code, code_of(refused)) == (429, "too_many_listeners")
        assert 1 <= int(refused.headers["retry-after"]) <= 120
        assert [listen("ben", ben).status_code for _ in range(2)] == [200] * 2
        assert listen("ben", ben).status_code == 429
        # All places are taken: a poll that would wait is answered at once, and speech is refused.
        begun = time.monotonic()
        poll = client.get(
            events["ben"].removesuffix("/events"), headers=ben | {"Prefer": "wait=30"}
        )
        assert (poll.status_code, time.monotonic() - begun < 20) == (200, True)
        speech = client.post(f"{url}/v1/audio/speech", json={"input": "Hi."}, headers=ben)
        assert (speech.status_code, code_of(speech)) == (429, "too_many_listeners")
        assert redis.zcard("tts:jobs") == 2
        held.close()
        # They have gone: their places are free.
        wait_until(lambda: is_free(client, events["ann"], ann))


def test_an_open_server_has_the_limit_of_all_only(url: str) -> None:
    """Its clients are not told apart, so that none of them can have a share."""
    job = httpx.post(f"{url}/v1/jobs", json=VALID_JOB).json()["links"]
    with httpx.Client(timeout=30) as client, ExitStack() as held:

        def listen() -> httpx.Response:
            return held.enter_context(client.stream("GET", url + job["events"]))

        def poll(wait_s: int) -> tuple[int, float]:
            begun = time.monotonic()
            answer = client.get(url + job["self"], headers={"Prefer": f"wait={wait_s}"})
            return answer.status_code, time.monotonic() - begun

        assert [listen().status_code for _ in range(4)] == [200] * 4
        status, waited_s = poll(1)
        assert (status, waited_s >= 0.9) == (200, True)
        assert listen().status_code == 200
        assert listen().status_code == 429
        status, waited_s = poll(30)
        assert (status, waited_s < 20) == (200, True)


def is_free(client: httpx.Client, url: str, headers: dict[str, str]) -> bool:
    with client.stream("GET", url, headers=headers) as answer:
        return answer.status_code == 200


def test_listeners_share_one_look_up(redis: Redis, card: ModelCard, settings: Settings) -> None:
    """However many they are, Redis is asked for all jobs together, and read when one changes."""
    sign_in(redis, card)
    ledger = Ledger(redis, lease_s=10, max_attempts=3)
    with TestClient(create_app(settings)) as api:
        jobs = [ledger.job(api.post("/v1/jobs", json=VALID_JOB).json()["id"]) for _ in range(3)]
    feeds, looks = JobFeeds(ledger), []
    look = ledger.job
    ledger.job = lambda job_id: (looks.append(job_id), look(job_id))[1]  # type: ignore[method-assign,func-returns-value]

    async def follow(number: int) -> Any:
        job = jobs[number % 3]
        with feeds.following(job) as feed:
            return await feed.after(job)

    async def scenario() -> list[Any]:
        async with asyncio.timeout(30):
            listeners = [asyncio.create_task(follow(n)) for n in range(600)]
            await asyncio.sleep(1.2)
            assert looks == []
            before = redis.info("commandstats")["cmdstat_hmget"]["calls"]
            await asyncio.sleep(2.2)
            asked = redis.info("commandstats")["cmdstat_hmget"]["calls"] - before
            assert asked <= 3 * 6
            for job in jobs[:2]:
                ledger.cancel(job.id)
            redis.delete(f"tts:job:{jobs[2].id}")
            ended = await asyncio.gather(*listeners)
            while len(asyncio.all_tasks()) > 1:  # without listeners, nothing is asked any more
                await asyncio.sleep(0.01)
            return ended

    ended = asyncio.run(scenario())
    assert sorted(looks) == sorted(job.id for job in jobs)
    assert {job.status for job in ended if job} == {Status.CANCELLED}
    assert sum(job is None for job in ended) == 200


def test_listeners_wait_while_redis_is_away(
    redis: Redis, card: ModelCard, settings: Settings
) -> None:
    sign_in(redis, card)
    ledger = Ledger(redis, lease_s=10, max_attempts=3)
    with TestClient(create_app(settings)) as api:
        job = ledger.job(api.post("/v1/jobs", json=VALID_JOB).json()["id"])
    away = connect("redis://127.0.0.1:1/0")
    away_ledger = Ledger(away, lease_s=10, max_attempts=3)
    feeds = JobFeeds(away_ledger)

    async def scenario() -> Any:
        async with asyncio.timeout(30):
            with feeds.following(job) as feed:
                waiting = asyncio.create_task(feed.after(job))
                await asyncio.sleep(1.2)
                assert not waiting.done()
                away.connection_pool = redis.connection_pool  # Redis is back
                ledger.cancel(job.id)
                return await waiting

    with pytest.raises(Unavailable):
        away_ledger.job(job.id)
    assert asyncio.run(scenario()).status == Status.CANCELLED


def test_many_listeners_do_not_hold_up_a_submit(
    settings: Settings, redis: Redis, card: ModelCard
) -> None:
    sign_in(redis, card)
    many = settings.model_copy(update={"max_owner_listeners": 400})
    with serving(many) as url, ExitStack() as held:
        limits = httpx.Limits(max_connections=500)
        client = held.enter_context(httpx.Client(timeout=60, limits=limits))
        jobs = [client.post(f"{url}/v1/jobs", json=VALID_JOB).json() for _ in range(5)]
        for number in range(300):
            events = url + jobs[number % 5]["links"]["events"]
            assert held.enter_context(client.stream("GET", events)).status_code == 200
        times_s = []
        for _ in range(10):
            begun = time.monotonic()
            assert client.post(f"{url}/v1/jobs", json=VALID_JOB).status_code == 202
            times_s.append(time.monotonic() - begun)
        assert sorted(times_s)[5] < 0.5
        assert threading.active_count() < 60


def test_a_key_has_so_many_requests_a_second(
    settings: Settings, redis: Redis, card: ModelCard
) -> None:
    sign_in(redis, card)
    slow = settings.model_copy(update={"max_requests_per_s": 2})
    ann, ben = (
        {"Authorization": f"Bearer {ApiKeys(redis).create(name)[1]}"} for name in ("ann", "ben")
    )
    with TestClient(create_app(slow)) as api:
        answers = [api.get("/v1/jobs", headers=ann) for _ in range(30)]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert answers[0].status_code == 200
        assert len(refused) >= 10
        assert refused[0].json()["error"]["code"] == "rate_limit_exceeded"
        assert int(refused[0].headers["retry-after"]) == 1
        assert api.get("/v1/jobs", headers=ben).status_code == 200
        assert api.get("/healthz").status_code == 200


def test_a_bucket_fills_again_and_buckets_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 1_000.0
    monkeypatch.setattr("api.http.rate_limit.time.monotonic", lambda: now_s)
    limit = RateLimit(10)
    for _ in range(20):
        limit.take("ann")
    with pytest.raises(TooManyRequests):
        limit.take("ann")
    now_s += 0.5
    for _ in range(5):
        limit.take("ann")
    with pytest.raises(TooManyRequests):
        limit.take("ann")
    for number in range(MAX_BUCKETS - 1):
        limit.take(str(number))
    with pytest.raises(TooManyRequests):
        limit.take("ann")
    for number in range(MAX_BUCKETS):
        limit.take(str(number))
    limit.take("ann")  # her bucket was dropped: she has a full one again
    unlimited = RateLimit(0)
    for _ in range(10_000):
        unlimited.take("ann")
