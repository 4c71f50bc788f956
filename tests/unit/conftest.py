"""A real Redis, empty for each unit test, and an engine without a model."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from redis import Redis
from s3_server import S3Server
from signed_in import sign_in
from stub_runner import StubCodec, StubRunner

from api.app import create_app
from client.local.redis_server import RedisServer
from shared.broker import WakeUpPublisher, make_celery_app
from shared.jobs import SpeechSpec
from shared.models import ModelCard
from shared.settings import Settings
from shared.speech_model import Task
from shared.storage import Storage
from shared.store.connection import connect
from shared.store.ledger import Ledger
from shared.store.workers import WorkerRegistry
from worker.engine.engine import Engine
from worker.heartbeat import Heartbeat, Watchdog
from worker.live_publisher import LivePublisher
from worker.segment_task import SegmentTask


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    folder = tmp_path_factory.mktemp("redis")
    with RedisServer(folder, log=folder / "redis.log") as server:
        yield server


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with S3Server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def redis(redis_server: RedisServer) -> Iterator[Redis]:
    connection = connect(redis_server.url)
    connection.flushall()
    yield connection
    connection.close()


@pytest.fixture
def ledger(redis: Redis) -> Ledger:
    return Ledger(redis, lease_s=0.2, max_attempts=3)


@pytest.fixture
def card() -> ModelCard:
    return ModelCard(
        id="tiny-CustomVoice",
        task=Task.CUSTOM_VOICE,
        size="0.6B",
        voices=("ryan", "vivian"),
        languages=("auto", "english", "chinese"),
        instructions=False,
    )


@pytest.fixture
def spec(card: ModelCard) -> SpeechSpec:
    return SpeechSpec(task=card.task, model=card.id, voice="vivian")


@pytest.fixture
def runner() -> StubRunner:
    return StubRunner()


@pytest.fixture
def engine(runner: StubRunner) -> Iterator[Engine]:
    engine = Engine(runner, StubCodec(), slots=4, max_waiting=6)
    yield engine
    runner.go.set()
    engine.close()


@pytest.fixture
def settings(redis_server: RedisServer, tmp_path: Path) -> Settings:
    return Settings(
        redis_url=redis_server.url,
        storage_url=(tmp_path / "results").as_uri(),
        max_input_chars=1_000,
        max_body_bytes=2_000_000,
    )


@pytest.fixture
def api(settings: Settings, redis: Redis, card: ModelCard) -> Iterator[TestClient]:
    sign_in(redis, card)
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage.open((tmp_path / "results").as_uri())


@pytest.fixture
def stopping() -> threading.Event:
    return threading.Event()


@pytest.fixture
def live(redis: Redis) -> Iterator[LivePublisher]:
    live = LivePublisher(redis)
    yield live
    live.close()


@pytest.fixture
def task(
    redis: Redis,
    redis_server: RedisServer,
    ledger: Ledger,
    storage: Storage,
    engine: Engine,
    card: ModelCard,
    live: LivePublisher,
    stopping: threading.Event,
) -> SegmentTask:
    announcer = WakeUpPublisher(make_celery_app(redis_server.url))
    # Not started: a claim lasts as long as its lease.
    heartbeat = Heartbeat(
        worker="w",
        card=card,
        ledger=ledger,
        roster=WorkerRegistry(redis),
        announcer=announcer,
        is_alive=lambda: True,
        watchdog=Watchdog(stalled_s=lambda: 0.0, messages=lambda: 0),
    )
    return SegmentTask(
        card.id,
        ledger=ledger,
        storage=storage,
        engine=engine,
        heartbeat=heartbeat,
        live=live,
        at_once=2,
        is_stopping=stopping.is_set,
    )
