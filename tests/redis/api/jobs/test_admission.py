"""The limits of the queue as clients meet them: an owner's share, and a Redis that is full."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fastapi.testclient import TestClient
from redis import Redis

from api.app import create_app
from shared.settings import Settings
from shared.store.api_keys import ApiKeys
from tests.support.valid_job import VALID_JOB

SHORT_PARAGRAPHS = "a\n\n" * 40


def test_one_owner_does_not_fill_the_queue_of_all(
    api: TestClient, settings: Settings, redis: Redis
) -> None:
    limits = settings.model_copy(update={"max_open_segments": 200, "max_owner_segments": 100})
    tokens = [ApiKeys(redis).create(name)[1] for name in ("greedy", "other")]
    greedy, other = ({"Authorization": f"Bearer {token}"} for token in tokens)
    assert api.get("/healthz").status_code == 200
    with TestClient(create_app(limits)) as server:
        many = [
            server.post("/v1/jobs", json=VALID_JOB | {"input": SHORT_PARAGRAPHS}, headers=greedy)
            for _ in range(3)
        ]
        assert [answer.status_code for answer in many] == [202, 202, 429]
        assert many[2].json()["error"]["code"] == "quota_exceeded"
        assert 1 <= int(many[2].headers["Retry-After"]) <= 120
        assert server.post("/v1/jobs", json=VALID_JOB, headers=other).status_code == 202
        whole = {"input": "a\n\n" * 101}
        refused = server.post("/v1/jobs", json=VALID_JOB | whole, headers=other)
        # More than it may ever have open is no matter of waiting.
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "input")


@contextmanager
def full(redis: Redis) -> Iterator[None]:
    """Redis has no memory left."""
    redis.config_set("maxmemory", 1)
    try:
        yield
    finally:
        redis.config_set("maxmemory", 0)


def test_a_full_redis_takes_no_job_and_lets_open_ones_go(api: TestClient, redis: Redis) -> None:
    first, second = (api.post("/v1/jobs", json=VALID_JOB).json()["id"] for _ in range(2))
    with full(redis):
        refused = api.post("/v1/jobs", json=VALID_JOB)
        assert refused.status_code == 503
        assert "nothing was accepted" in refused.json()["error"]["message"]
        assert refused.headers["Retry-After"]
        assert api.get(f"/v1/jobs/{first}").json()["status"] == "queued"
        assert api.post(f"/v1/jobs/{first}/cancel").json()["status"] == "cancelled"
        assert api.delete(f"/v1/jobs/{second}").status_code == 200
        assert api.get(f"/v1/jobs/{second}").status_code == 404
        assert len(api.get("/v1/jobs").json()["data"]) == 1
    assert api.post("/v1/jobs", json=VALID_JOB).status_code == 202
