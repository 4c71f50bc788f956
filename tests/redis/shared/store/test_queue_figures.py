from __future__ import annotations

import pytest
from redis import Redis

from shared.errors import StaleClaim
from shared.jobs import Claim, Priority, SegmentResult, SpeechSpec
from shared.models import ModelCard
from shared.store.ledger import Ledger
from shared.store.queue_figures import LedgerEvent, Queue, QueueFigures
from shared.store.webhooks import Events, EventType, Webhook
from tests.support.claims import claim, end_leases
from tests.support.plain_segments import plain
from tests.support.registered_workers import sign_in

MODEL = "tiny-CustomVoice"
HIGH, NORMAL, LOW = (Queue(MODEL, p) for p in (Priority.HIGH, Priority.NORMAL, Priority.LOW))


def count(redis: Redis, event: str, detail: str = "-", model: str = MODEL) -> int:
    return QueueFigures.read(redis).counts.get(LedgerEvent(event, detail, model), 0)


def result(number: int = 1, *, truncated: bool = False) -> SegmentResult:
    return SegmentResult(key=f"k{number}", samples=24_000, truncated=truncated)


def take_back(ledger: Ledger, redis: Redis) -> None:
    end_leases(redis)
    ledger.reconcile()


def finish(ledger: Ledger, held: Claim) -> None:
    join = ledger.commit(held, result())
    if join is not None:
        ledger.commit(join, result())


def test_an_empty_ledger_has_no_figures(redis: Redis) -> None:
    found = QueueFigures.read(redis)
    assert (found.waiting, found.running, found.oldest_s, found.counts) == ({}, {}, {}, {})
    assert found.memory is not None
    assert found.memory.used > 100_000


def test_segments_are_counted_by_model_and_priority(
    redis: Redis, ledger: Ledger, spec: SpeechSpec, card: ModelCard
) -> None:
    sign_in(redis, card)
    for number, priority in enumerate(Priority):
        ledger.admit(f"j{number}", spec, plain(["one"] * (number + 2)), priority=priority)
    found = QueueFigures.read(redis)
    assert found.waiting == {LOW: 2, NORMAL: 3, HIGH: 4}
    assert (found.running, found.workers[MODEL], found.jobs_open) == ({}, 1, 3)
    held = [ledger.claim(MODEL) for _ in range(3)]
    found = QueueFigures.read(redis)
    assert sum(found.running.values()) == 3
    assert sum(found.waiting.values()) == 6
    for each in Priority:
        whole = {Priority.LOW: 2, Priority.NORMAL: 3, Priority.HIGH: 4}[each]
        queue = Queue(MODEL, each)
        assert found.running.get(queue, 0) + found.waiting[queue] == whole
    assert held[0] is not None
    ledger.release(held[0])
    assert sum(QueueFigures.read(redis).waiting.values()) == 7
    for number in range(3):
        ledger.cancel(f"j{number}")
    assert QueueFigures.read(redis).waiting == {}
    assert redis.exists("tts:queues_by_priority", f"tts:waiting_since:{MODEL}") == 0


def test_priorities_begin_anew_after_a_worker_that_did_not_count_them(
    redis: Redis, ledger: Ledger, spec: SpeechSpec
) -> None:
    redis.hset("tts:queues_by_priority", f"high {MODEL}", 7)
    ledger.admit("j", spec, plain(["one"]), priority=Priority.LOW)
    assert sum(QueueFigures.read(redis).waiting.values()) == 1
    finish(ledger, claim(ledger, "j:0"))
    assert redis.exists("tts:queues_by_priority") == 0


def test_the_oldest_wait_is_that_of_the_job_which_had_no_turn_for_longest(
    redis: Redis, ledger: Ledger, spec: SpeechSpec
) -> None:
    key = f"tts:waiting_since:{MODEL}"
    ledger.admit("a", spec, plain(["one", "two"]))
    ledger.admit("b", spec, plain(["one"]))
    now_s = redis.time()[0]
    redis.zadd(key, {"a": now_s - 100, "b": now_s - 40, "gone": now_s - 1_000})
    assert QueueFigures.read(redis).oldest_s[MODEL] == pytest.approx(100, abs=5)
    claim(ledger, "a:0")
    assert QueueFigures.read(redis).oldest_s[MODEL] == pytest.approx(40, abs=5)
    claim(ledger, "b:0")
    claim(ledger, "a:1")
    assert redis.exists(key) == 0


def test_what_happens_to_jobs_and_segments_is_counted(
    redis: Redis, ledger: Ledger, spec: SpeechSpec
) -> None:
    ledger.admit("a", spec, plain(["one", "two"]), priority=Priority.HIGH)
    first = claim(ledger, "a:0")
    ledger.release(first)
    again = claim(ledger, "a:0")
    ledger.commit(again, result(truncated=True))
    finish(ledger, claim(ledger, "a:1"))
    ledger.admit("b", spec, plain(["one"]))
    ledger.fail(claim(ledger, "b:0"), "synthesis_failed", "no")
    ledger.admit("c", spec, plain(["one"]))
    ledger.cancel("c")
    assert count(redis, "jobs_accepted", "high") == 1
    assert count(redis, "jobs_accepted", "normal") == 2
    assert [count(redis, "jobs_ended", s) for s in ("completed", "failed", "cancelled")] == [1] * 3
    assert count(redis, "jobs_failed", "synthesis_failed") == 1
    assert count(redis, "segments_completed") == 2
    assert count(redis, "samples") == 48_000
    assert count(redis, "segments_truncated") == 1
    assert count(redis, "segments_requeued", "released") == 1
    assert count(redis, "segments_retried") == 0  # a segment that was handed back


def test_lost_leases_retries_and_duplicates_are_counted(
    redis: Redis, ledger: Ledger, spec: SpeechSpec
) -> None:
    ledger.admit("a", spec, plain(["one"]))
    lost = claim(ledger, "a:0")
    take_back(ledger, redis)
    failed = claim(ledger, "a:0")
    ledger.record_failure(failed, "the disk is full")
    take_back(ledger, redis)
    assert count(redis, "segments_requeued", "lost") == 1
    assert count(redis, "segments_requeued", "failed") == 1
    assert count(redis, "segments_retried") == 1
    for _ in range(2):  # sent twice, counted once
        with pytest.raises(StaleClaim):
            ledger.commit(lost, result(2))
    assert count(redis, "commits_refused", "superseded") == 1
    last = claim(ledger, "a:0")
    assert count(redis, "segments_retried") == 2
    take_back(ledger, redis)
    assert count(redis, "segments_given_up", "lost") == 1
    assert count(redis, "jobs_failed", "worker_lost") == 1
    with pytest.raises(StaleClaim):
        ledger.commit(last, result(3))
    assert count(redis, "commits_refused", "ended") == 1


def test_attempts_of_webhooks_are_counted_once_each(
    redis: Redis, ledger: Ledger, spec: SpeechSpec
) -> None:
    hook = Webhook(url="https://a.example/", receiver="https://a.example", events=tuple(EventType))
    ledger.admit("a", spec, plain(["one"]), webhook=hook)
    events = Events(redis, lease_s=10)
    ledger.cancel("a")
    assert QueueFigures.read(redis).receivers_waiting == 1
    event = events.take()
    assert event is not None
    for _ in range(2):
        events.again(event, 0)
    assert count(redis, "webhook_attempts", "failed", "-") == 1
    event = events.take()
    assert event is not None
    for _ in range(2):
        events.done(event)
    assert count(redis, "webhook_attempts", "delivered", "-") == 1
    ledger.admit("b", spec, plain(["one"]), webhook=hook)
    ledger.cancel("b")
    event = events.take()
    assert event is not None
    for _ in range(2):
        events.give_up(event, "404")
    assert count(redis, "webhook_attempts", "given_up", "-") == 1
