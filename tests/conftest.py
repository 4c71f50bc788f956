"""A server and a checkpoint for each session, and what tests of more than one folder use."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis

from client.local.redis_server import RedisServer
from shared.jobs import SpeechSpec
from shared.models import ModelCard
from shared.speech_model import Task
from shared.storage import Storage
from shared.store.connection import connect
from tests.support.receiver import Receiver, receiving
from tests.support.s3_server import S3Server
from tests.support.stub_runner import StubCodec, StubRunner
from worker.engine.engine import Engine

# As the API has it: what is loaded is not searched for garbage by every few tests.
gc.freeze()
gc.set_threshold(20_000)


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A tiny checkpoint of the kind asked for, made once a session; leave it as it is."""
    folder = tmp_path_factory.mktemp("checkpoints")

    def find(kind: str) -> Path:
        from worker.checkpoints import make_checkpoint

        path = folder / kind
        return path if path.exists() else make_checkpoint("tiny", kind, path)

    return find


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
def results(tmp_path: Path) -> Path:
    """The folder of `storage`."""
    return tmp_path / "results"


@pytest.fixture
def storage(results: Path) -> Storage:
    return Storage.open(results.as_uri())


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver
