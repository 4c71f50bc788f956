"""Models come, stay on offer for a while after their last worker, and can be forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from redis import Redis

from api import models as command
from api.app import create_app
from client import cli
from client.local.data_folder import REDIS_URL_FILE
from client.local.redis_server import RedisServer
from shared.errors import ModelInUse, ModelNotFound
from shared.jobs import SpeechSpec, Status
from shared.models import ModelCard
from shared.settings import Settings
from shared.store import keys
from shared.store import workers as workers_module
from shared.store.ledger import Ledger
from shared.store.workers import CachedModels, WorkerRegistry
from tests.support.plain_segments import plain
from tests.support.valid_job import VALID_JOB

TTL_S = 100.0


@pytest.fixture
def registry(redis: Redis) -> WorkerRegistry:
    return WorkerRegistry(redis, model_ttl_s=TTL_S)


def age(redis: Redis, model: str, by_s: float) -> None:
    """Let the last worker of a model have left so long ago."""
    redis.zincrby(keys.MODELS_SEEN, -by_s, model)
    redis.delete(f"tts:workers:{model}")


def offered(registry: WorkerRegistry) -> list[str]:
    return [model.card.id for model in registry.models()]


@pytest.mark.parametrize(("gone_s", "is_offered"), [(TTL_S - 5, True), (TTL_S + 5, False)])
def test_a_model_is_offered_for_a_while_after_its_last_worker(
    registry: WorkerRegistry, redis: Redis, card: ModelCard, gone_s: float, is_offered: bool
) -> None:
    registry.sign_in("w", card)
    registry.sign_out("w", card)
    age(redis, card.id, gone_s)
    assert offered(registry) == [card.id] * is_offered
    assert [model.card for model in registry.known()] == [card]
    registry.sign_in("w", card)
    assert offered(registry) == [card.id]


def test_a_worker_of_several_models_serves_each_of_them_and_is_one(
    redis: Redis, card: ModelCard
) -> None:
    registry, other = WorkerRegistry(redis), card.model_copy(update={"id": "other"})
    registry.sign_in("w", card, other)
    assert [(each.card, each.workers) for each in registry.models()] == [(other, 1), (card, 1)]
    assert registry.workers() == {"w"}
    registry.sign_out("w", card, other)
    assert registry.workers() == set()


def test_a_live_worker_that_does_not_note_when_it_was_seen_is_offered(
    registry: WorkerRegistry, redis: Redis, card: ModelCard
) -> None:
    registry.sign_in("of the version before", card)
    redis.zincrby(keys.MODELS_SEEN, -2 * TTL_S, card.id)
    assert offered(registry) == [card.id]


def test_the_card_of_a_version_before_has_its_time_too(
    registry: WorkerRegistry, redis: Redis, card: ModelCard
) -> None:
    other = card.model_copy(update={"id": "other"})
    registry.sign_in("w", other)
    redis.hset("tts:models", card.id, card.model_dump_json())
    assert offered(registry) == ["other", card.id]
    assert redis.zscore(keys.MODELS_SEEN, card.id) is None  # a look writes nothing
    registry.sign_in("w", other)
    assert redis.zscore(keys.MODELS_SEEN, card.id) is not None
    age(redis, card.id, TTL_S + 1)
    registry.sign_in("w", other)
    assert offered(registry) == ["other"]
    registry.forget(card.id)
    redis.hset("tts:models", card.id, card.model_dump_json())
    registry.sign_in("w", other)
    assert redis.zscore(keys.MODELS_SEEN, card.id) is not None


@contextmanager
def takes_no_writes(redis: Redis, how: str) -> Iterator[None]:
    """A Redis that is full, or a replica."""
    if how == "full":
        redis.config_set("maxmemory", 1)
    else:
        redis.replicaof("127.0.0.1", "1")
    try:
        yield
    finally:
        redis.config_set("maxmemory", 0)
        redis.replicaof("NO", "ONE")


@pytest.mark.parametrize("how", ["full", "replica"])
def test_models_are_read_from_a_redis_that_takes_no_writes(
    settings: Settings, redis: Redis, registry: WorkerRegistry, card: ModelCard, how: str
) -> None:
    redis.hset("tts:models", card.id, card.model_dump_json())  # by a version that notes no time
    with TestClient(create_app(settings)) as client, takes_no_writes(redis, how):
        assert offered(registry) == [card.id]
        answer = client.get("/v1/models")
        assert answer.status_code == 200
        assert [model["id"] for model in answer.json()["data"]] == [card.id]


def test_a_presence_of_a_clock_that_was_ahead_counts_for_no_hour(
    registry: WorkerRegistry, redis: Redis, card: ModelCard
) -> None:
    registry.sign_in("lives", card)
    redis.zincrby(f"tts:workers:{card.id}", 3_600, "died")
    redis.zadd(f"tts:workers:{card.id}", {"died": redis.time()[0] + 3_600})
    assert registry.workers() == {"lives"}
    assert [model.workers for model in registry.models()] == [1]
    registry.sign_in("lives", card)
    assert redis.zrange(f"tts:workers:{card.id}", 0, -1) == ["lives"]


def test_a_model_that_a_worker_serves_is_not_forgotten(
    registry: WorkerRegistry, redis: Redis, card: ModelCard
) -> None:
    registry.sign_in("w", card)
    with pytest.raises(ModelInUse, match=r"live workers \(1\)"):
        registry.forget(card.id)
    registry.sign_out("w", card)
    registry.forget(card.id)
    assert registry.known() == []
    assert redis.keys("tts:models*") == redis.keys("tts:workers*") == []
    with pytest.raises(ModelNotFound, match="narrate models list"):
        registry.forget(card.id)
    registry.sign_in("w", card)
    assert offered(registry) == [card.id]


def test_what_waits_for_a_model_keeps_it(
    registry: WorkerRegistry, card: ModelCard, ledger: Ledger, spec: SpeechSpec
) -> None:
    registry.sign_in("w", card)
    registry.sign_out("w", card)
    ledger.admit("j", spec, plain(["one", "two"]))
    with pytest.raises(ModelInUse, match=r"segments wait for .* \(2\)"):
        registry.forget(card.id)
    ledger.cancel("j")
    registry.forget(card.id)
    assert registry.known() == []


def test_a_job_that_came_just_as_its_model_was_forgotten_is_spoken(
    registry: WorkerRegistry, redis: Redis, card: ModelCard, ledger: Ledger, spec: SpeechSpec
) -> None:
    registry.sign_in("w", card)
    registry.sign_out("w", card)
    registry.forget(card.id)
    ledger.admit("j", spec, plain(["one"]))  # by an API that had looked before
    redis.delete("tts:reconciled")
    assert ledger.reconcile() == [(card.id, 1)]
    registry.sign_in("w", card)
    assert ledger.claim(card.id) is not None


def test_served_models_are_looked_at_again_and_never_kept_empty(
    registry: WorkerRegistry, redis: Redis, card: ModelCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = CachedModels(registry)
    assert served.models() == []
    registry.sign_in("w", card)
    assert [model.card.id for model in served.models()] == [card.id]
    age(redis, card.id, TTL_S + 1)
    monkeypatch.setattr(workers_module, "MAX_MODELS_AGE_S", 0.0)
    assert served.models() == []


def test_the_api_offers_and_chooses_only_what_is_on_offer(
    settings: Settings,
    redis: Redis,
    card: ModelCard,
    ledger: Ledger,
    spec: SpeechSpec,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(workers_module, "MAX_MODELS_AGE_S", 0.0)
    gone = card.model_copy(update={"id": "gone"})
    for each in (card, gone):
        WorkerRegistry(redis).sign_in("w", each)
    ledger.admit("waits", spec.model_copy(update={"model": "gone"}), plain(["one"]))
    age(redis, "gone", TTL_S + 1)
    age(redis, card.id, 1)  # no worker either: else its own would be preferred
    with TestClient(create_app(settings.model_copy(update={"model_ttl_s": TTL_S}))) as client:
        assert [model["id"] for model in client.get("/v1/models").json()["data"]] == [card.id]
        assert client.post("/v1/jobs", json=VALID_JOB).json()["model"] == card.id
        asked = client.post("/v1/jobs", json=VALID_JOB | {"model": "gone"})
        assert (asked.status_code, asked.json()["error"]["param"]) == (400, "model")
        queue = {model["id"]: model["queued"] for model in client.get("/v1/queue").json()["models"]}
        assert queue == {card.id: 1, "gone": 1}
        assert ledger.job("waits").status == Status.QUEUED
        WorkerRegistry(redis).sign_in("w", gone)
        assert client.post("/v1/jobs", json=VALID_JOB | {"model": "gone"}).status_code == 202


def test_models_are_listed_and_forgotten_by_command(
    redis_server: RedisServer,
    registry: WorkerRegistry,
    redis: Redis,
    card: ModelCard,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    (tmp_path / REDIS_URL_FILE).write_text(redis_server.url)
    where = ["--data", str(tmp_path)]
    registry.sign_in("w", card)
    registry.sign_in("w", card.model_copy(update={"id": "gone"}))
    age(redis, "gone", workers_module.DAY_S + 1)
    assert cli.main(["models", "list", *where]) == 0
    _, lives, gone = capfd.readouterr().out.splitlines()
    assert lives.split()[:4] == [card.id, "custom_voice", "1", "0"]
    assert gone.split()[:4] == ["gone", "custom_voice", "0", "0"]
    assert gone.endswith("not offered")
    assert cli.main(["models", "forget", card.id, *where]) == 1
    assert "stop them first" in capfd.readouterr().err
    assert cli.main(["models", "forget", "gone", *where]) == 0
    assert [model.card.id for model in registry.known()] == [card.id]
    assert cli.main(["models", "forget", *where]) == 2


def test_the_command_says_what_is_wrong_with_a_setting(
    monkeypatch: pytest.MonkeyPatch, redis_server: RedisServer
) -> None:
    monkeypatch.setenv("TTS_REDIS_URL", redis_server.url)
    monkeypatch.setenv("TTS_MODEL_TTL_S", "0")
    with pytest.raises(SystemExit, match="TTS_MODEL_TTL_S='0'"):
        command.main(["list"])


def test_the_registry_counts_live_workers_and_remembers_models(
    redis: Redis, card: ModelCard
) -> None:
    registry = WorkerRegistry(redis)
    assert registry.models() == []
    other = card.model_copy(update={"id": "another"})
    for worker, served in (("w1", card), ("w2", card), ("w3", other)):
        registry.sign_in(worker, served)
    registry.sign_in("w1", card)
    registry.sign_out("w3", other)
    assert [(m.card.id, m.workers) for m in registry.models()] == [(card.id, 2), ("another", 0)]
