import contextlib
import itertools
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from redis import Redis

from shared.errors import (
    JobNotFound,
    KeyReused,
    Overloaded,
    QuotaExceeded,
    StaleClaim,
    Unavailable,
)
from shared.jobs import TERMINAL, TRANSITIONS, Claim, SegmentResult, SpeechSpec, Status
from shared.store import keys
from shared.store.connection import connect
from shared.store.ledger import Ledger
from shared.store.limits import Idempotency, Limits
from tests.support.claims import claim, end_leases
from tests.support.plain_segments import id_of, plain
from tests.support.processes import wait_until

RESULT = SegmentResult(key="k", samples=24_000, batch_size=4)


MODEL = "tiny-CustomVoice"


def take_back(ledger: Ledger, redis: Redis) -> list[tuple[str, int]]:
    """Reconcile once the leases have run out."""
    end_leases(redis)
    return ledger.reconcile()


def now_ms(redis: Redis) -> int:
    seconds, micros = redis.time()
    return 1_000 * seconds + micros // 1_000


def queued_segments(redis: Redis) -> int:
    return int(redis.hget("tts:queues", MODEL) or 0)


def test_a_job_runs_through_its_segments_and_its_join(ledger: Ledger, spec: SpeechSpec) -> None:
    ledger.admit("j", spec, plain(["one", "two"]))
    assert ledger.job("j").status == Status.QUEUED

    first, second = claim(ledger, "j:0"), claim(ledger, "j:1")
    assert (first.text, second.text, first.spec) == ("one", "two", spec)
    assert ledger.job("j").status == Status.IN_PROGRESS
    # The second ends first; the order of the results is still that of the text.
    assert ledger.commit(second, SegmentResult(key="b", samples=2, truncated=True)) is None
    last = ledger.commit(first, SegmentResult(key="a", samples=1, batch_size=8))
    assert last is not None
    assert (last.segment_id, last.is_join) == ("j:join", True)
    assert ledger.job("j").status == Status.IN_PROGRESS
    assert ledger.claim(MODEL) is None
    assert [r.key for r in ledger.spoken(ledger.job("j"))] == ["a", "b"]
    ledger.commit(last, SegmentResult(key="whole", samples=3), size_bytes=50)
    job = ledger.job("j")
    assert job.status == Status.COMPLETED
    assert (job.total, job.completed, job.truncated, job.samples) == (2, 2, 1, 3)
    assert (job.result_key, job.result_bytes) == ("whole", 50)
    assert job.batch_sizes == {1: 1, 8: 1}
    assert job.started_at is not None
    assert job.completed_at is not None
    assert job.created_at <= job.started_at <= job.completed_at


def test_a_step_that_is_sent_again_has_the_same_answer(
    ledger: Ledger, spec: SpeechSpec, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the client does when a connection breaks before the answer has come."""
    run, answers = redis.evalsha, list[Any]()

    def twice(*args: Any) -> Any:
        answers[:] = [run(*args) for _ in range(2)]
        return answers[1]

    monkeypatch.setattr(redis, "evalsha", twice)
    for _ in range(2):
        assert id_of(ledger.admit("j", spec, plain(["one"]))) == "j"
    held = claim(ledger, "j:0")
    assert (held.text, held.attempt) == ("one", 1)
    assert answers[0] == answers[1]
    join = ledger.commit(held, RESULT)
    assert join is not None
    assert answers[0] == answers[1]
    assert ledger.commit(join, RESULT) is None
    assert (ledger.job("j").status, ledger.job("j").completed) == (Status.COMPLETED, 1)
    assert redis.zcard("tts:leases") == queued_segments(redis) == 0


def test_a_held_segment_cannot_be_claimed_again(ledger: Ledger, spec: SpeechSpec) -> None:
    ledger.admit("j", spec, plain(["one"]))
    claim(ledger, "j:0")
    assert ledger.claim(MODEL) is None


def test_a_claim_that_redis_forgot_fences_nobody_in(
    ledger: Ledger, spec: SpeechSpec, redis: Redis
) -> None:
    ledger.admit("j", spec, plain(["one"]))
    before = {key: redis.dump(key) for key in redis.keys("*")}
    forgotten = claim(ledger, "j:0")
    redis.flushdb()
    for key, content in before.items():
        redis.restore(key, 0, content)
    # It takes longer than a millisecond to start a Redis again.
    wait_until(lambda: now_ms(redis) > forgotten.epoch)
    again = claim(ledger, "j:0")
    with pytest.raises(StaleClaim):
        ledger.commit(forgotten, RESULT)
    ledger.commit(again, RESULT)


def test_each_model_has_a_queue_of_its_own(ledger: Ledger, spec: SpeechSpec) -> None:
    assert ledger.claim("nothing") is None
    ledger.admit("j", spec, plain(["one"]))
    assert ledger.claim("nothing") is None
    join = ledger.commit(claim(ledger, "j:0"), RESULT)
    assert join is not None
    assert ledger.claim(MODEL) is None


def test_a_lease_that_ran_out_passes_on_and_fences_its_old_holder(
    ledger: Ledger, spec: SpeechSpec, redis: Redis
) -> None:
    ledger.admit("j", spec, plain(["one"]))
    old = claim(ledger, "j:0")
    assert take_back(ledger, redis) == [(MODEL, 1)]
    new = claim(ledger, "j:0")
    assert new.epoch > old.epoch
    assert new.attempt == old.attempt + 1
    for late in (
        lambda: ledger.commit(old, RESULT),
        lambda: ledger.fail(old, "c", "m"),
        lambda: ledger.release(old),
    ):
        with pytest.raises(StaleClaim):
            late()
    assert ledger.renew([old, new]) == [old]
    assert ledger.job("j").completed == 0
    assert ledger.commit(new, RESULT) is not None


def test_renewing_keeps_a_lease(redis: Redis, spec: SpeechSpec) -> None:
    ledger = Ledger(redis, lease_s=1.0, max_attempts=3)
    ledger.admit("j", spec, plain(["one"]))
    held = claim(ledger, "j:0")
    for _ in range(4):
        end_leases(redis)
        assert ledger.renew([held]) == []
    ledger.reconcile()
    assert ledger.claim(MODEL) is None


def test_a_result_is_committed_once(ledger: Ledger, spec: SpeechSpec) -> None:
    ledger.admit("j", spec, plain(["one", "two"]))
    held = claim(ledger, "j:0")
    ledger.commit(held, RESULT)
    with pytest.raises(StaleClaim):
        ledger.commit(held, RESULT.model_copy(update={"key": "another"}))
    assert ledger.job("j").completed == 1


def test_a_failed_segment_ends_its_job_and_the_others_are_not_begun(
    ledger: Ledger, spec: SpeechSpec, redis: Redis
) -> None:
    ledger.admit("j", spec, plain(["one", "two"]))
    ledger.fail(claim(ledger, "j:0"), "synthesis_failed", "no voice")
    job = ledger.job("j")
    assert (job.status, job.failed) == (Status.FAILED, 1)
    assert (job.error_code, job.error_message) == ("synthesis_failed", "no voice")
    assert ledger.claim(MODEL) is None
    assert queued_segments(redis) == redis.zcard("tts:leases") == 0


def test_a_segment_that_ends_after_its_job_failed_starts_no_join(
    ledger: Ledger, spec: SpeechSpec
) -> None:
    ledger.admit("j", spec, plain(["one", "two"]))
    first, second = claim(ledger, "j:0"), claim(ledger, "j:1")
    ledger.fail(first, "synthesis_failed", "no voice")
    assert ledger.renew([second]) == [second]
    with pytest.raises(StaleClaim):
        ledger.commit(second, RESULT)
    assert ledger.job("j").status == Status.FAILED


def test_a_released_segment_waits_again_and_the_attempt_does_not_count(
    ledger: Ledger, spec: SpeechSpec
) -> None:
    ledger.admit("j", spec, plain(["one"]))
    ledger.release(claim(ledger, "j:0"))
    assert claim(ledger, "j:0").attempt == 1


def test_reconciling_finds_what_lost_its_worker_or_its_message(
    ledger: Ledger, spec: SpeechSpec, redis: Redis
) -> None:
    ledger.admit("a", spec, plain(["one", "two", "three"]))
    ledger.admit("b", spec.model_copy(update={"model": "other"}), plain(["one"]))
    redis.lpush("tts.other", "a message")
    claim(ledger, "a:0")
    assert ledger.reconcile() == [(MODEL, 2)]
    redis.lpush(f"tts.{MODEL}", "a message", "another")
    assert take_back(ledger, redis) == [(MODEL, 1)]
    assert queued_segments(redis) == 3


def test_reconciling_happens_once_for_all_workers(ledger: Ledger, spec: SpeechSpec) -> None:
    ledger.admit("j", spec, plain(["one"]))
    assert ledger.reconcile() == [(MODEL, 1)]
    assert ledger.reconcile() == []


def test_a_segment_that_loses_every_worker_fails_with_the_reason(
    ledger: Ledger, spec: SpeechSpec, redis: Redis
) -> None:
    ledger.admit("j", spec, plain(["one"]))
    for attempt in range(1, 4):
        assert claim(ledger, "j:0").attempt == attempt
        take_back(ledger, redis)
    job = ledger.job("j")
    assert (job.status, job.error_code) == (Status.FAILED, "worker_lost")
    assert ledger.claim(MODEL) is None


def test_one_of_many_claims_at_once_wins(ledger: Ledger, spec: SpeechSpec) -> None:
    ledger.admit("j", spec, plain(["one"]))
    won: list[Claim | None] = []
    threads = [threading.Thread(target=lambda: won.append(ledger.claim(MODEL))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(held is not None for held in won) == 1


def test_the_scripts_make_no_change_that_the_table_forbids(
    ledger: Ledger, spec: SpeechSpec, redis: Redis
) -> None:
    """Put a segment into each status by hand and try every operation on it."""
    operations = {
        "claim": lambda _held: ledger.claim(MODEL),
        "cancel": lambda held: ledger.cancel(held.job_id),
        "commit": lambda held: ledger.commit(held, RESULT),
        "fail": lambda held: ledger.fail(held, "c", "m"),
        "release": lambda held: ledger.release(held),
    }
    for number, (before, name) in enumerate(itertools.product(Status, operations)):
        redis.flushdb()
        ledger.admit(f"j{number}", spec, plain(["one"]))
        held = claim(ledger, f"j{number}:0")
        redis.hset(f"tts:segment:{held.segment_id}", "status", before)
        with contextlib.suppress(StaleClaim):
            operations[name](held)
        after = Status(str(redis.hget(f"tts:segment:{held.segment_id}", "status")))
        assert after == before or after in TRANSITIONS[before], (before, name, after)


def test_ended_statuses_are_those_without_a_way_out() -> None:
    assert {status for status, news in TRANSITIONS.items() if not news} == TERMINAL


def test_unknown_jobs_are_said_to_be_unknown(ledger: Ledger) -> None:
    with pytest.raises(JobNotFound, match="no job 'x'"):
        ledger.job("x")


def test_without_redis_every_call_says_so() -> None:
    ledger = Ledger(connect("redis://127.0.0.1:1/0"), lease_s=10, max_attempts=3)
    for call in (
        lambda: list(ledger.marks(["j"])),
        lambda: ledger.claim(MODEL),
        lambda: ledger.job("j"),
    ):
        with pytest.raises(Unavailable, match="Redis does not answer"):
            call()


def test_what_is_left_of_a_deleted_segment_stops_nothing(
    ledger: Ledger, spec: SpeechSpec, redis: Redis
) -> None:
    redis.zadd("tts:leases", {"gone:0": 1})
    ledger.admit("j", spec, plain(["one"]))
    assert ledger.reconcile() == [(MODEL, 1)]
    assert redis.zcard("tts:leases") == 0


def test_a_job_that_cannot_be_read_is_left_to_another_worker(
    ledger: Ledger, spec: SpeechSpec, redis: Redis
) -> None:
    ledger.admit("j", spec, plain(["one"]))
    written = redis.hget("tts:job:j", "spec")
    redis.hset("tts:job:j", "spec", '{"task": "sing", "model": "m"}')
    for _ in range(5):
        assert ledger.claim(MODEL) is None
    ledger.admit("k", spec, plain(["one"]))
    held = ledger.claim(MODEL) or ledger.claim(MODEL)  # it does not stand in the way
    assert held is not None
    assert held.job_id == "k"
    redis.hset("tts:job:j", "spec", str(written))
    assert claim(ledger, "j:0").attempt == 1


def test_a_job_that_no_worker_can_read_for_a_day_fails(
    ledger: Ledger, spec: SpeechSpec, redis: Redis
) -> None:
    ledger.admit("j", spec, plain(["one"]))
    redis.hset("tts:job:j", "spec", '{"task": "sing", "model": "m"}')
    assert ledger.claim(MODEL) is None
    redis.hset("tts:job:j", "unreadable_since", time.time() - 25 * 3_600)
    assert ledger.claim(MODEL) is None
    assert redis.hmget("tts:job:j", "status", "error_code") == ["failed", "unreadable_job"]


def test_a_worker_passes_over_jobs_of_a_newer_version(
    ledger: Ledger, spec: SpeechSpec, redis: Redis
) -> None:
    ledger.admit("new", spec, plain(["one"]))
    redis.hset("tts:job:new", "version", 99)
    ledger.admit("old", spec, plain(["one"]))
    ledger.admit("other", spec, plain(["one"]), owner="other")
    assert {held.job_id for held in (ledger.claim(MODEL), ledger.claim(MODEL)) if held} == {
        "old",
        "other",
    }
    assert ledger.claim(MODEL) is None
    assert ledger.job("new").status == Status.QUEUED


def order(ledger: Ledger, samples_of: Callable[[str], int] = lambda text: 1_600 * len(text)) -> str:
    """The jobs' names in the order of their turns; each segment is done at once.

    By default each character takes two thirds of a frame, which is about what is expected.
    """
    turns = ""
    while held := ledger.claim(MODEL):
        turns += held.job_id
        result = SegmentResult(key="k", samples=samples_of(held.text))
        ledger.commit(held, result)
    return turns


def test_jobs_take_turns_and_newcomers_need_not_wait(ledger: Ledger, spec: SpeechSpec) -> None:
    ledger.admit("a", spec, plain(["x" * 10] * 6))
    for _ in range(3):
        ledger.claim(MODEL)
    ledger.admit("b", spec, plain(["x" * 10] * 2))
    ledger.admit("c", spec, plain(["x" * 10]))
    turns = order(ledger)
    assert set(turns[:3]) == set("abc"), turns


def test_owners_take_turns_however_many_jobs_they_have(ledger: Ledger, spec: SpeechSpec) -> None:
    for name in "abcdefgh":
        ledger.admit(name, spec, plain(["x" * 10]), owner="heavy")
    ledger.admit("y", spec, plain(["x" * 10]), owner="light")
    ledger.admit("z", spec, plain(["x" * 10]), owner="light")
    turns = order(ledger)
    assert max(turns.index("y"), turns.index("z")) <= 4, turns


def test_a_turn_costs_what_is_spoken(ledger: Ledger, spec: SpeechSpec) -> None:
    ledger.admit("a", spec, plain(["x" * 160] * 4))
    ledger.admit("b", spec, plain(["x" * 40] * 8))
    turns = order(ledger)
    assert turns.rstrip("a").count("a") in (2, 3), turns


def test_a_turn_is_settled_by_the_frames_that_were_made(ledger: Ledger, spec: SpeechSpec) -> None:
    """Texts of the same length, one spoken four times as slowly."""
    ledger.admit("a", spec, plain(["a" * 30] * 6), owner="a")
    ledger.admit("b", spec, plain(["b" * 30] * 24), owner="b")
    turns = order(ledger, lambda text: 1_920 * (100 if text[0] == "a" else 25))
    assert 16 <= turns.rindex("a") - turns[: turns.rindex("a")].count("a") <= 24, turns


@pytest.mark.parametrize("short", ["x", "。", "1"])
def test_short_segments_are_no_cheaper_than_what_they_cost(
    ledger: Ledger, spec: SpeechSpec, short: str
) -> None:
    """Prose of 200 frames a segment beside a text of one-character paragraphs."""
    ledger.admit("a", spec, plain([short] * 400), owner="short")
    ledger.admit("b", spec, plain(["x" * 240] * 10), owner="prose")
    turns = order(ledger)
    until = turns[: turns.rindex("b") + 1]
    assert until.count("a") <= 20 * until.count("b"), until


def test_a_segment_that_is_handed_back_has_cost_nothing(
    ledger: Ledger, spec: SpeechSpec, redis: Redis
) -> None:
    ledger.admit("a", spec, plain(["x" * 100] * 3))
    ledger.admit("b", spec, plain(["x" * 100] * 3))
    before = redis.zrange(f"tts:turns:{MODEL}:public", 0, -1, withscores=True)
    held = ledger.claim(MODEL)
    assert held is not None
    assert redis.zrange(f"tts:turns:{MODEL}:public", 0, -1, withscores=True) != before
    ledger.release(held)
    assert redis.zrange(f"tts:turns:{MODEL}:public", 0, -1, withscores=True) == before


def test_a_stream_of_small_jobs_does_not_starve_a_long_one(
    ledger: Ledger, spec: SpeechSpec
) -> None:
    ledger.admit("z", spec, plain(["x" * 100] * 5))
    ledger.admit("a0", spec, plain(["x" * 10]))
    turns = []
    for number in range(1, 60):
        ledger.admit(f"a{number}", spec, plain(["x" * 10]))  # always one more than is spoken
        held = ledger.claim(MODEL)
        assert held is not None
        turns.append(held.job_id)
    assert turns.count("z") >= 2, turns


def test_a_last_attempt_shares_its_worker_with_nobody(
    redis: Redis, ledger: Ledger, spec: SpeechSpec
) -> None:
    """One segment kills its workers; those beside it do not fail with it."""
    first, second = (
        Ledger(redis, lease_s=0.2, max_attempts=3, worker=name) for name in ("w1", "w2")
    )
    for name in ("a", "b", "c"):
        ledger.admit(name, spec, plain(["one"]))
    for _ in range(2):
        assert all(first.claim(MODEL) for _ in range(3))
        take_back(first, redis)
    held = first.claim(MODEL)
    assert held is not None
    assert held.attempt == 3
    assert first.claim(MODEL) is None
    other = second.claim(MODEL)
    assert other is not None
    assert second.claim(MODEL) is None
    join = second.commit(other, RESULT)
    assert join is not None
    assert second.claim(MODEL) is None  # it has to have nothing else
    second.commit(join, RESULT)
    again = second.claim(MODEL)
    assert again is not None
    assert len({held.job_id, other.job_id, again.job_id}) == 3
    take_back(first, redis)
    assert ledger.job(held.job_id).error_code == "worker_lost"


def test_a_busy_worker_ends_what_it_has_before_it_takes_a_last_attempt(
    redis: Redis, spec: SpeechSpec
) -> None:
    first, second = (
        Ledger(redis, lease_s=60, max_attempts=2, worker=name) for name in ("w1", "w2")
    )
    first.admit("long", spec, plain(["one", "two", "three"]))
    lost, kept = claim(first, "long:0"), claim(first, "long:1")
    redis.zadd("tts:leases", {lost.segment_id: 1})
    redis.delete("tts:reconciled_at")
    first.reconcile()
    assert first.claim(MODEL) is None  # it waits for the other one
    assert claim(second, "long:2")  # who goes on with the rest
    assert first.claim(MODEL) is None
    first.commit(kept, RESULT)
    assert claim(first, "long:0").attempt == 2


def test_what_went_wrong_last_is_the_reason_in_the_end(
    ledger: Ledger, spec: SpeechSpec, redis: Redis
) -> None:
    ledger.admit("j", spec, plain(["one"]))
    for number in range(3):
        held = claim(ledger, "j:0")
        ledger.record_failure(held, f"no memory {number}")
        take_back(ledger, redis)
    job = ledger.job("j")
    assert (job.error_code, job.error_message) == ("synthesis_failed", "no memory 2")
    with pytest.raises(StaleClaim):
        ledger.record_failure(held, "too late")


def test_nobody_loses_a_lease_that_nobody_could_renew(
    ledger: Ledger, spec: SpeechSpec, redis: Redis
) -> None:
    """Redis was away for longer than a lease: the first worker must not take from the rest."""
    ledger.admit("j", spec, plain(["one"]))
    held = claim(ledger, "j:0")
    ledger.reconcile()
    end_leases(redis)
    redis.set("tts:reconciled_at", time.time() - 30)
    ledger.reconcile()
    assert ledger.renew([held]) == []
    take_back(ledger, redis)
    assert ledger.renew([held]) == [held]


def test_messages_do_not_pile_up(ledger: Ledger, spec: SpeechSpec, redis: Redis) -> None:
    ledger.admit("j", spec, plain(["one"] * 3))
    redis.lpush(f"tts.{MODEL}", *["hint"] * 900)
    ledger.reconcile()
    assert redis.llen(f"tts.{MODEL}") == 503


@pytest.mark.parametrize("step", ["commit", "release", "record_failure", "fail", "renew"])
def test_no_lease_outlives_the_next_step_of_a_cancelled_job(
    ledger: Ledger, spec: SpeechSpec, redis: Redis, step: str
) -> None:
    ledger.admit("j", spec, plain(["one", "two"]))
    held = claim(ledger, "j:0")
    ledger.cancel("j")
    steps: dict[str, Callable[[], object]] = {
        "commit": lambda: ledger.commit(held, RESULT),
        "release": lambda: ledger.release(held),
        "record_failure": lambda: ledger.record_failure(held, "a reason"),
        "fail": lambda: ledger.fail(held, "a_code", "a reason"),
        "renew": lambda: ledger.renew([held]),
    }
    with contextlib.suppress(StaleClaim):
        steps[step]()
    assert redis.zcard("tts:leases") == 0


def test_cancelling_takes_the_segments_with_it(
    ledger: Ledger, spec: SpeechSpec, redis: Redis
) -> None:
    ledger.admit("j", spec, plain(["one", "two", "three"]))
    ledger.commit(claim(ledger, "j:0"), RESULT)
    held = claim(ledger, "j:1")
    assert ledger.cancel("j") is True
    assert ledger.cancel("j") is False
    assert ledger.job("j").status == Status.CANCELLED
    assert ledger.renew([held]) == [held]
    with pytest.raises(StaleClaim):
        ledger.commit(held, RESULT)
    assert ledger.claim(MODEL) is None
    assert redis.zcard("tts:leases") == queued_segments(redis) == 0
    with pytest.raises(JobNotFound):
        ledger.cancel("nothing")


def test_what_would_be_too_much_is_not_accepted(
    ledger: Ledger, spec: SpeechSpec, redis: Redis
) -> None:
    limits = Limits(open_segments=5, owner_jobs=2, owner_chars=80)
    ledger.admit("a", spec, plain(["12345"] * 2), owner="me", limits=limits)
    before = sorted(redis.keys())
    for texts, owner, refusal in (
        (["1"] * 4, "you", Overloaded),
        (["x" * 30] * 2, "me", QuotaExceeded),
    ):
        with pytest.raises(refusal) as refused:
            ledger.admit("b", spec, plain(texts), owner=owner, limits=limits)
        assert 1 <= refused.value.retry_after_s <= 120
    assert sorted(redis.keys()) == before
    ledger.admit("b", spec, plain(["12345"]), owner="me", limits=limits)
    with pytest.raises(QuotaExceeded, match="2 jobs"):
        ledger.admit("c", spec, plain(["1"]), owner="me", limits=limits)
    ledger.cancel("a")
    ledger.admit("c", spec, plain(["12345"] * 2), owner="me", limits=limits)


def test_the_wait_follows_the_pace(ledger: Ledger, spec: SpeechSpec, redis: Redis) -> None:
    limits = Limits(open_segments=100)
    ledger.admit("a", spec, plain(["1"] * 100))
    seconds, _ = redis.time()
    redis.set(f"tts:pace:{seconds // 10 - 1}", 120)  # two a second over the last minute
    with pytest.raises(Overloaded) as refused:
        ledger.admit("b", spec, plain(["1"] * 20), limits=limits)
    assert refused.value.retry_after_s == 10


def test_the_same_key_is_the_same_job_until_it_is_forgotten(
    ledger: Ledger, spec: SpeechSpec
) -> None:
    sent = Idempotency("k", "print")
    assert id_of(ledger.admit("a", spec, plain(["one"]), idempotency=sent)) == "a"
    assert id_of(ledger.admit("b", spec, plain(["one"]), idempotency=sent)) == "a"
    assert id_of(ledger.admit("b", spec, plain(["one"]), idempotency=sent, owner="you")) == "b"
    with pytest.raises(KeyReused, match="use another one"):
        ledger.admit("c", spec, plain(["two"]), idempotency=Idempotency("k", "another"))
    ledger.cancel("a")
    ledger.cancel("b")
    assert ledger.forget("a")
    assert id_of(ledger.admit("c", spec, plain(["one"]), idempotency=sent)) == "c"


def test_what_has_ended_is_forgotten_without_a_trace(
    ledger: Ledger, spec: SpeechSpec, redis: Redis
) -> None:
    ledger.admit("a", spec, plain(["one"]), idempotency=Idempotency("k", "print"))
    assert ledger.forget("a") is False
    join = ledger.commit(claim(ledger, "a:0"), RESULT)
    assert join is not None
    ledger.commit(join, RESULT)
    assert ledger.expired(60) == []
    assert ledger.expired(0) == ["a"]
    assert ledger.forget("a") is True
    assert ledger.expired(0) == []
    assert ledger.forgotten() == ["a"]  # until its files are gone, too
    ledger.files_deleted("a")
    assert ledger.forgotten() == []
    passing = ("tts:pace:", "tts:answered:", "tts:used:")
    counts = keys.COUNTS  # of a bounded number of events
    assert [key for key in redis.scan_iter() if not key.startswith(passing)] == [counts]
    assert all(redis.ttl(key) > 0 for key in redis.scan_iter() if key != counts)


@pytest.mark.parametrize("is_deleted", [False, True])
def test_what_an_older_worker_puts_back_of_an_ended_job_stops_no_claim(
    ledger: Ledger, spec: SpeechSpec, redis: Redis, is_deleted: bool
) -> None:
    """Version 1 asked the segment alone whether a claim on it holds, and put it back."""
    ledger.admit("a", spec, plain(["one", "two"]))
    held = claim(ledger, "a:0")
    ledger.cancel("a")
    redis.zrem("tts:leases", held.segment_id)
    redis.hset(f"tts:segment:{held.segment_id}", "status", "queued")
    redis.zadd("tts:waiting:a", {held.segment_id: 0})
    redis.zadd(f"tts:turns:{MODEL}:public", {"a": 0})
    redis.zadd(f"tts:turns:{MODEL}", {"public": 0})
    redis.hincrby("tts:queues", MODEL, 1)
    if is_deleted:
        assert ledger.forget("a")
        assert queued_segments(redis) == 0
    ledger.admit("b", spec, plain(["one"]))
    assert claim(ledger, "b:0")
    assert ledger.claim(MODEL) is None
    assert queued_segments(redis) == 0
    assert not redis.exists("tts:waiting:a", f"tts:turns:{MODEL}")


def test_a_turn_of_a_job_that_is_gone_stops_no_claim(
    ledger: Ledger, spec: SpeechSpec, redis: Redis
) -> None:
    redis.zadd(f"tts:turns:{MODEL}:public", {"gone": 0})
    redis.zadd(f"tts:turns:{MODEL}", {"public": 0})
    ledger.admit("b", spec, plain(["one"]))
    assert claim(ledger, "b:0")


def test_a_worker_of_two_models_keeps_itself_free_for_a_suspect(
    redis: Redis, spec: SpeechSpec
) -> None:
    """Else a worker that always has something to do with one model would never speak it."""
    ledger = Ledger(redis, lease_s=60, max_attempts=2, worker="w")
    other = spec.model_copy(update={"model": "other"})
    ledger.admit("j", spec, plain(["kills its worker"]))
    ledger.admit("k", other, plain(["one", "two", "three"]))
    assert ledger.claim(spec.model)
    end_leases(redis)
    ledger.reconcile()
    busy = ledger.claim("other")
    assert busy is not None
    assert ledger.claim(spec.model) is None  # not while it speaks something else
    assert ledger.claim("other") is None  # nor does it begin something else before
    ledger.commit(busy, SegmentResult(key="k", samples=1))
    suspect = ledger.claim(spec.model)
    assert suspect is not None
    assert suspect.attempt == 2
    assert ledger.claim("other") is None  # it is spoken alone
    ledger.commit(suspect, SegmentResult(key="j", samples=1))
    assert ledger.claim("other") is not None


def test_a_suspect_whose_job_has_ended_keeps_no_worker_free(redis: Redis, spec: SpeechSpec) -> None:
    ledger = Ledger(redis, lease_s=60, max_attempts=2, worker="w")
    ledger.admit("j", spec, plain(["kills its worker"]))
    ledger.admit("k", spec.model_copy(update={"model": "other"}), plain(["one", "two"]))
    assert ledger.claim(spec.model)
    end_leases(redis)
    ledger.reconcile()
    assert ledger.claim("other")
    assert ledger.claim(spec.model) is None
    ledger.cancel("j")
    assert ledger.claim("other") is not None
