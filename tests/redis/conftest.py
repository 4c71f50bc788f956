"""An empty Redis for each test, an API and a worker's task on it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from redis import Redis

from api.app import create_app
from client.local.redis_server import RedisServer
from shared.broker import WakeUpPublisher, make_celery_app
from shared.models import ModelCard
from shared.settings import Settings
from shared.storage import Storage
from shared.store import api_keys
from shared.store.api_keys import ApiKeys
from shared.store.ledger import Ledger
from tests.support.heartbeats import make_heartbeat
from tests.support.registered_workers import sign_in
from worker.engine.engine import Engine
from worker.heartbeat import Heartbeat
from worker.live_publisher import LivePublisher
from worker.model.pool import EngineHold
from worker.segment_task import SegmentTask


@pytest.fixture
def ledger(redis: Redis) -> Ledger:
    return Ledger(redis, lease_s=0.2, max_attempts=3)


@pytest.fixture
def settings(redis_server: RedisServer, results: Path) -> Settings:
    return Settings(
        redis_url=redis_server.url,
        storage_url=results.as_uri(),
        max_input_chars=1_000,
        max_body_bytes=2_000_000,
    )


@pytest.fixture
def api(settings: Settings, redis: Redis, card: ModelCard) -> Iterator[TestClient]:
    sign_in(redis, card)
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def keys(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> ApiKeys:
    monkeypatch.setattr(api_keys, "MAX_TABLE_AGE_S", 0.0)
    return ApiKeys(redis)


@pytest.fixture
def stopping() -> threading.Event:
    return threading.Event()


@pytest.fixture
def live(redis: Redis) -> Iterator[LivePublisher]:
    live = LivePublisher(redis)
    yield live
    live.close()


@pytest.fixture
def heartbeat(
    redis: Redis, redis_server: RedisServer, ledger: Ledger, card: ModelCard
) -> Heartbeat:
    """The heartbeat of `task`, not started: a claim lasts as long as its lease."""
    wake_ups = WakeUpPublisher(make_celery_app(redis_server.url))
    return make_heartbeat(redis, ledger, card, wake_ups)


@pytest.fixture
def make_task(
    ledger: Ledger,
    engine: Engine,
    card: ModelCard,
    heartbeat: Heartbeat,
    live: LivePublisher,
    stopping: threading.Event,
) -> Callable[[Storage], SegmentTask]:
    """Makes the task of a worker with a given storage."""

    def make(storage: Storage) -> SegmentTask:
        return SegmentTask(
            card.id,
            ledger=ledger,
            storage=storage,
            hold_engine=lambda: nullcontext(EngineHold(engine)),
            heartbeat=heartbeat,
            live=live,
            at_once=2,
            is_stopping=stopping.is_set,
        )

    return make


@pytest.fixture
def task(make_task: Callable[[Storage], SegmentTask], storage: Storage) -> SegmentTask:
    return make_task(storage)
