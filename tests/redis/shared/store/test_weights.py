"""A model's name stands for one set of weights while anything is spoken by it."""

from __future__ import annotations

import pytest
from redis import Redis

from shared.document import Segment
from shared.errors import OtherWeights
from shared.jobs import SpeechSpec
from shared.models import ModelCard
from shared.store import keys
from shared.store.ledger import Ledger
from shared.store.workers import WorkerRegistry

LEASE_S = 10.0


@pytest.fixture
def registry(redis: Redis) -> WorkerRegistry:
    return WorkerRegistry(redis)


@pytest.fixture
def old(card: ModelCard) -> ModelCard:
    return card.model_copy(update={"weights": "aaaa"})


@pytest.fixture
def new(card: ModelCard) -> ModelCard:
    return card.model_copy(update={"weights": "bbbb"})


def test_other_weights_are_refused_beside_a_worker(
    registry: WorkerRegistry, old: ModelCard, new: ModelCard
) -> None:
    for worker in ("w1", "w2", "w2"):
        registry.claim_name(worker, old, LEASE_S)
    with pytest.raises(OtherWeights, match=r"here bbbb, elsewhere aaaa .live workers: 2, .*; give"):
        registry.claim_name("w3", new, LEASE_S)
    registry.sign_out("w1", old)
    registry.sign_out("w2", old)
    registry.claim_name("w3", new, LEASE_S)
    # It is there before its first heartbeat: the old ones cannot come back now.
    with pytest.raises(OtherWeights, match=r"here aaaa, elsewhere bbbb \(live workers: 1"):
        registry.claim_name("w1", old, LEASE_S)


def test_a_job_that_has_begun_keeps_its_weights(
    registry: WorkerRegistry, old: ModelCard, new: ModelCard, redis: Redis, spec: SpeechSpec
) -> None:
    ledger = Ledger(redis, lease_s=LEASE_S, max_attempts=3, worker="w1")
    registry.claim_name("w1", old, LEASE_S)
    ledger.admit("j1", spec, [Segment("One.", 0, 4), Segment("Two.", 4, 8)])
    claim = ledger.claim(old.id)
    assert claim is not None
    registry.sign_out("w1", old)
    with pytest.raises(
        OtherWeights, match=r"elsewhere aaaa \(live workers: 0, segments that wait: 1"
    ):
        registry.claim_name("w2", new, LEASE_S)
    registry.claim_name("w2", old, LEASE_S)


def test_a_worker_that_died_may_hold_segments_for_a_lease(
    registry: WorkerRegistry, old: ModelCard, new: ModelCard, redis: Redis
) -> None:
    registry.claim_name("w1", old, LEASE_S)
    gone_s = float(redis.time()[0])
    redis.zadd(keys.workers(old.id), {"w1": gone_s - LEASE_S / 2})
    with pytest.raises(OtherWeights):
        registry.claim_name("w2", new, LEASE_S)
    redis.zadd(keys.workers(old.id), {"w1": gone_s - LEASE_S - 1})
    registry.claim_name("w2", new, LEASE_S)


def test_a_forgotten_model_has_no_weights(
    registry: WorkerRegistry, old: ModelCard, redis: Redis
) -> None:
    registry.claim_name("w1", old, LEASE_S)
    registry.sign_in("w1", old)
    registry.sign_out("w1", old)
    registry.forget(old.id)
    assert not redis.exists(keys.WEIGHTS)
