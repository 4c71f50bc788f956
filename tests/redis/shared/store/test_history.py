"""The history of a job: what each step writes, once, and what bounds it."""

from __future__ import annotations

from typing import Any

import pytest
from redis import Redis

from shared.errors import StaleClaim
from shared.jobs import Origin, SegmentResult, SpeechSpec
from shared.store import keys
from shared.store.history import HistoryEntry
from shared.store.ledger import Ledger
from shared.store.webhooks import Events, EventType, Webhook
from tests.support.claims import claim, end_leases
from tests.support.plain_segments import plain

RESULT = SegmentResult(key="k", samples=24_000)
HOOK = Webhook(
    url="https://a.example/", receiver="https://a.example", events=(EventType.COMPLETED,)
)
MAX_ENTRIES = 500


@pytest.fixture
def ledger(redis: Redis) -> Ledger:
    return Ledger(redis, lease_s=100, max_attempts=2, worker="w1")


def entries(ledger: Ledger, job: str = "j") -> list[HistoryEntry]:
    return [entry for _, entry in ledger.history(job).entries]


def told(ledger: Ledger, job: str = "j") -> list[tuple[Any, ...]]:
    """The event, segment and attempt of each entry."""
    return [(one.event, one.segment, one.attempt) for one in entries(ledger, job)]


def lose(ledger: Ledger, redis: Redis) -> None:
    end_leases(redis)
    ledger.reconcile()


def test_the_life_of_a_job_is_told_in_order(ledger: Ledger, spec: SpeechSpec, redis: Redis) -> None:
    before = redis.time()[0]
    ledger.admit("j", spec, plain(["a", "b"]), origin=Origin(request="r1"), webhook=HOOK)
    join = None
    for segment in ("j:0", "j:1"):
        join = ledger.commit(claim(ledger, segment), RESULT)
    assert join is not None
    ledger.commit(join, RESULT)
    events = Events(redis, lease_s=10)
    event = events.take()
    assert event is not None
    events.again(event, 0, "503")
    event = events.take()
    assert event is not None
    events.done(event, "200")
    assert told(ledger) == [
        ("accepted", None, None),
        ("queued", None, None),
        ("claimed", "0", 1),
        ("claimed", "1", 1),
        ("claimed", "join", 1),
        ("joined", None, None),
        ("completed", None, None),
        ("webhook_failed", None, 1),
        ("webhook_delivered", None, 2),
    ]
    found = entries(ledger)
    assert (found[0].request, found[0].count) == ("r1", 2)
    assert [one.worker for one in found[2:6]] == ["w1"] * 4
    assert [(one.webhook, one.reason) for one in found[-2:]] == [
        ("job.completed", "503"),
        ("job.completed", "200"),
    ]
    times = [one.at for one in found]
    assert times == sorted(times)
    assert before <= times[0] <= times[-1] <= redis.time()[0] + 1


def test_lost_failed_and_released_attempts_are_told_with_reasons(
    ledger: Ledger, spec: SpeechSpec, redis: Redis
) -> None:
    ledger.admit("j", spec, plain(["a"]))
    ledger.release(claim(ledger, "j:0"), "the worker stops")
    lose_it = claim(ledger, "j:0")
    lose(ledger, redis)
    with pytest.raises(StaleClaim):
        ledger.record_failure(lose_it, "too late")
    second = claim(ledger, "j:0")
    for _ in range(2):  # the second is the same step, sent again
        ledger.record_failure(second, "StepFailed: no memory")
    lose(ledger, redis)
    assert told(ledger)[2:] == [
        ("claimed", "0", 1),
        ("released", "0", 1),
        ("claimed", "0", 1),
        ("lost", "0", 1),
        ("claimed", "0", 2),
        ("attempt_failed", "0", 2),
        ("failed", "0", None),
    ]
    reasons = {one.event: one.reason for one in entries(ledger) if one.reason}
    assert reasons == {
        "released": "the worker stops",
        "attempt_failed": "StepFailed: no memory",
        "failed": "StepFailed: no memory",
    }
    assert entries(ledger)[-1].code == "synthesis_failed"


def test_a_failed_attempt_is_queued_again_after_its_lease(
    ledger: Ledger, spec: SpeechSpec, redis: Redis
) -> None:
    ledger.admit("j", spec, plain(["a"]))
    ledger.record_failure(claim(ledger, "j:0"), "why")
    lose(ledger, redis)
    assert told(ledger)[3:] == [("attempt_failed", "0", 1), ("requeued", "0", 1)]


def test_a_deadline_and_a_cancellation_are_told_once(ledger: Ledger, spec: SpeechSpec) -> None:
    ledger.admit("j", spec, plain(["a"]))
    ledger.admit("k", spec, plain(["a"]), cancel_after_s=0)
    assert [ledger.cancel("j"), ledger.cancel("j")] == [True, False]
    assert told(ledger)[2:] == [("cancelled", None, None)]
    assert ledger.job("k").status == "cancelled"
    assert [one.code for one in entries(ledger, "k")][-1] == "deadline_passed"


def test_routine_claims_of_a_long_job_are_left_out(ledger: Ledger, spec: SpeechSpec) -> None:
    ledger.admit("j", spec, plain(["x"] * 250))
    for place in range(250):
        ledger.commit(claim(ledger, f"j:{place}"), RESULT)
    claimed = [one.segment for one in entries(ledger) if one.event == "claimed"]
    kept = [*range(20), *range(230, 250)]
    assert claimed == [*map(str, kept), "join"]


def test_what_is_out_of_the_ordinary_is_kept_of_any_segment(
    ledger: Ledger, spec: SpeechSpec, redis: Redis
) -> None:
    ledger.admit("j", spec, plain(["x"] * 100))
    for place in range(50):
        ledger.commit(claim(ledger, f"j:{place}"), RESULT)
    claim(ledger, "j:50")
    lose(ledger, redis)
    cut_off = SegmentResult(key="k", samples=1, truncated=True)
    ledger.commit(claim(ledger, "j:50"), cut_off)
    last = [(one.event, one.segment, one.attempt) for one in entries(ledger)][-3:]
    assert last == [("lost", "50", 1), ("claimed", "50", 2), ("truncated", "50", 2)]


def test_a_history_is_bounded_counts_what_it_leaves_out_and_tells_the_end(
    ledger: Ledger, spec: SpeechSpec, redis: Redis
) -> None:
    ledger.admit("j", spec, plain(["x"]))
    for _ in range(300):
        ledger.release(claim(ledger, "j:0"), "the storage is away")
    ledger.cancel("j")
    found = entries(ledger)
    assert len(found) == MAX_ENTRIES + 2
    assert [one.event for one in found[-2:]] == ["omitted", "cancelled"]
    assert found[-2].count == 2 + 2 * 300 - MAX_ENTRIES
    assert redis.llen(keys.history("j")) == len(found)


def test_a_history_is_read_on_from_a_number(ledger: Ledger, spec: SpeechSpec) -> None:
    ledger.admit("j", spec, plain(["x"]))
    assert [number for number, _ in ledger.history("j", 1).entries] == [1]
    assert ledger.history("j", 2) == ([], True)


def test_a_long_reason_is_cut_between_two_characters(ledger: Ledger, spec: SpeechSpec) -> None:
    for cut in range(4):
        job = f"j{cut}"
        ledger.admit(job, spec, plain(["x"]))
        ledger.record_failure(claim(ledger, f"{job}:0"), "a" * cut + "€𝄞" * 200)
        reason = entries(ledger, job)[-1].reason
        assert reason is not None
        assert reason.startswith("a" * cut + "€𝄞€𝄞")
        assert reason.endswith("…")
        assert 490 < len(reason.encode()) <= 503


def test_a_history_goes_with_its_job(ledger: Ledger, spec: SpeechSpec, redis: Redis) -> None:
    every_event = HOOK.model_copy(update={"events": tuple(EventType)})
    ledger.admit("j", spec, plain(["x"]), webhook=every_event)
    ledger.cancel("j")
    event = Events(redis, lease_s=10).take()
    assert event is not None
    ledger.forget("j")
    Events(redis, lease_s=10).done(event, "200")
    assert ledger.history("j") == ([], False)
    assert not redis.exists(keys.history("j"))


def test_a_job_of_a_version_without_histories_gets_none_and_goes_on(
    ledger: Ledger, spec: SpeechSpec, redis: Redis
) -> None:
    ledger.admit("j", spec, plain(["x"]))
    redis.delete(keys.history("j"))
    redis.hdel(keys.job("j"), "request", "traceparent")
    join = ledger.commit(claim(ledger, "j:0"), RESULT)
    assert join is not None
    ledger.commit(join, RESULT)
    assert ledger.job("j").status == "completed"
    assert ledger.history("j") == ([], False)


def test_the_history_of_a_job_that_an_older_process_deleted_goes_with_its_files(
    ledger: Ledger, spec: SpeechSpec, redis: Redis
) -> None:
    ledger.admit("j", spec, plain(["x"]))
    ledger.cancel("j")
    history = redis.dump(keys.history("j"))
    ledger.forget("j")
    redis.restore(keys.history("j"), 0, history)
    ledger.files_deleted("j")
    assert not redis.exists(keys.history("j"))


def test_the_origin_of_a_job_comes_with_its_claims(ledger: Ledger, spec: SpeechSpec) -> None:
    origin = Origin(request="r1", traceparent="00-a-b-01")
    ledger.admit("j", spec, plain(["x"]), origin=origin, owner="ann")
    held = claim(ledger, "j:0")
    assert (held.origin, held.owner) == (origin, "ann")
    assert held.accepted_at == pytest.approx(held.epoch / 1000, abs=5)
    ledger.admit("k", spec, plain(["x"]), owner="ben")
    assert claim(ledger, "k:0").origin == Origin()


def test_an_entry_costs_about_a_hundred_bytes(
    ledger: Ledger, spec: SpeechSpec, redis: Redis
) -> None:
    """The figures of docs/logs.md, for a worker's name as workers have it."""
    named = Ledger(redis, lease_s=100, max_attempts=2, worker="host-1:5f0c1a2b:12345:9e8d7c6b")
    ledger.admit("j", spec, plain(["x"] * 10_000))
    begun = redis.memory_usage(keys.history("j"))
    for place in range(40):
        named.commit(claim(named, f"j:{place}"), RESULT)
    per_claim = (redis.memory_usage(keys.history("j")) - begun) / 20
    assert begun < 300
    assert per_claim < 130
