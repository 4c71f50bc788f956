"""Redis's clock is set back by an hour: what was written before lies an hour ahead."""

from __future__ import annotations

import pytest
from redis import Redis

from shared.jobs import SpeechSpec
from shared.store.ledger import Ledger
from shared.store.webhooks import Events, EventType, Webhook
from tests.support.clocks import set_forward
from tests.support.ledger_state import LedgerState
from tests.support.plain_segments import id_of, plain

MODEL = "tiny-CustomVoice"
HOUR_S = 3_600


def set_clock_back(redis: Redis) -> None:
    """Move all times in the ledger forward instead, which is the same to it."""
    for key in ("tts:leases", "tts:admitting", "tts:jobs", "tts:ended"):
        for member, at in redis.zrange(key, 0, -1, withscores=True):
            redis.zadd(key, {member: at + HOUR_S})
    if last := redis.get("tts:reconciled_at"):
        redis.set("tts:reconciled_at", float(str(last)) + HOUR_S)
    for key in redis.scan_iter("tts:reservation:*"):
        redis.hincrbyfloat(key, "at", HOUR_S)
    for key in redis.scan_iter("tts:*"):
        if (left_s := redis.ttl(key)) > 0:
            redis.expire(key, left_s + HOUR_S)


def lease_end_s(redis: Redis, segment: str) -> float:
    seconds, micros = redis.time()
    return float(redis.zscore("tts:leases", segment) or 0) - (seconds + micros / 1e6)


def test_a_dead_workers_lease_is_clamped_and_taken_back(redis: Redis, spec: SpeechSpec) -> None:
    ledger = Ledger(redis, lease_s=10, max_attempts=3)
    ledger.admit("j", spec, plain(["one", "two"]))
    ledger.reconcile()
    held = ledger.claim(MODEL)
    assert held is not None
    set_clock_back(redis)
    assert lease_end_s(redis, held.segment_id) > HOUR_S
    ledger.reconcile()
    assert 9 < lease_end_s(redis, held.segment_id) <= 10
    redis.zadd("tts:leases", {held.segment_id: 1})  # the lease runs out
    redis.delete("tts:reconciled_at")
    assert ledger.reconcile() == [(MODEL, 2)]
    again = ledger.claim(MODEL)
    assert again is not None
    assert (again.segment_id, again.attempt) == (held.segment_id, 2)
    assert again.epoch > held.epoch
    LedgerState.read(redis).check()


def test_a_live_worker_keeps_its_lease(redis: Redis, spec: SpeechSpec) -> None:
    ledger = Ledger(redis, lease_s=10, max_attempts=3)
    ledger.admit("j", spec, plain(["one"]))
    held = ledger.claim(MODEL)
    assert held is not None
    set_clock_back(redis)
    ledger.reconcile()
    assert ledger.renew([held]) == []
    assert 9 < lease_end_s(redis, held.segment_id) <= 10


def test_an_admission_that_stopped_is_given_up_within_its_minute(
    redis: Redis, ledger: Ledger
) -> None:
    seconds, _ = redis.time()
    redis.zadd("tts:admitting", {"j": seconds + HOUR_S})
    ledger.reconcile()
    assert (redis.zscore("tts:admitting", "j") or 0) <= seconds + 62


def test_a_suspect_that_was_reserved_by_a_dead_worker_is_free(
    redis: Redis, spec: SpeechSpec
) -> None:
    first, second = (
        Ledger(redis, lease_s=60, max_attempts=2, worker=name) for name in ("w1", "w2")
    )
    first.admit("j", spec, plain(["one", "two"]))
    lost, _busy = first.claim(MODEL), first.claim(MODEL)
    assert lost is not None
    redis.zadd("tts:leases", {lost.segment_id: 1})
    first.reconcile()
    assert first.claim(MODEL) is None  # reserved, until its other segment has ended
    assert second.claim(MODEL) is None
    set_clock_back(redis)
    found = second.claim(MODEL)
    assert found is not None
    assert found.segment_id == lost.segment_id


def test_a_receiver_of_a_dead_deliverer_is_told_again(
    redis: Redis, ledger: Ledger, spec: SpeechSpec
) -> None:
    hook = Webhook(url="https://a.example/", receiver="https://a.example", events=tuple(EventType))
    ledger.admit("j", spec, plain(["one"]), webhook=hook)
    ledger.cancel("j")
    events = Events(redis, lease_s=10)
    taken = events.take()
    assert taken is not None
    for receiver, at in redis.zrange("tts:webhooks", 0, -1, withscores=True):
        redis.zadd("tts:webhooks", {receiver: at + HOUR_S})
    set_clock_back(redis)
    again = events.take()
    assert again is not None
    assert (again.id, again.attempt) == (taken.id, 2)


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_step_is_in_time_by_any_clock(
    ledger: Ledger, spec: SpeechSpec, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    """The API has seen Redis's clock as it was before."""
    ledger.admit("a", spec, plain(["one"]))
    set_forward(monkeypatch, -hours * HOUR_S)
    assert id_of(ledger.admit("j", spec, plain(["one"]))) == "j"
