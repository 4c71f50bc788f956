import contextlib
import itertools
import threading
import time

import pytest
from redis import Redis

from shared.connection import connect
from shared.errors import InvalidRequest, JobNotFound, StaleClaim, Unavailable
from shared.jobs import TERMINAL, TRANSITIONS, Claim, SegmentResult, SpeechSpec, Status
from shared.ledger import Ledger

RESULT = SegmentResult(key="k", samples=24_000, batch_size=4)


def claim(ledger: Ledger, segment: str) -> Claim:
    held = ledger.claim(segment)
    assert held is not None
    return held


def test_a_job_runs_through_its_segments_and_its_join(ledger: Ledger, spec: SpeechSpec) -> None:
    ledger.admit("j", spec, ["one", "two"])
    assert ledger.job("j").status == Status.QUEUED

    first, second = claim(ledger, "j:0"), claim(ledger, "j:1")
    assert (first.text, second.text, first.spec) == ("one", "two", spec)
    assert ledger.job("j").status == Status.IN_PROGRESS
    # The second ends first; the order of the results is still that of the text.
    assert ledger.commit(second, SegmentResult(key="b", samples=2, truncated=True)) is None
    join = ledger.commit(first, SegmentResult(key="a", samples=1, batch_size=8))
    assert join == "j:join"
    assert ledger.job("j").status == Status.IN_PROGRESS

    last = claim(ledger, join)
    assert last.is_join
    assert [r.key for r in ledger.results(ledger.job("j"))] == ["a", "b"]
    ledger.commit(last, SegmentResult(key="whole", samples=3), size_bytes=50)
    job = ledger.job("j")
    assert job.status == Status.COMPLETED
    assert (job.total, job.completed, job.truncated, job.samples) == (2, 2, 1, 3)
    assert (job.result_key, job.result_bytes) == ("whole", 50)
    assert job.batch_sizes == {1: 1, 8: 1}
    assert job.started_at is not None
    assert job.completed_at is not None
    assert job.created_at <= job.started_at <= job.completed_at


def test_an_id_is_admitted_once(ledger: Ledger, spec: SpeechSpec) -> None:
    ledger.admit("j", spec, ["one"])
    with pytest.raises(InvalidRequest, match="exists"):
        ledger.admit("j", spec, ["other"])
    assert claim(ledger, "j:0").text == "one"


def test_a_held_segment_cannot_be_claimed_again(ledger: Ledger, spec: SpeechSpec) -> None:
    ledger.admit("j", spec, ["one"])
    claim(ledger, "j:0")
    assert ledger.claim("j:0") is None


def test_unknown_and_finished_segments_are_not_claimed(ledger: Ledger, spec: SpeechSpec) -> None:
    assert ledger.claim("nothing:0") is None
    ledger.admit("j", spec, ["one"])
    ledger.commit(claim(ledger, "j:0"), RESULT)
    assert ledger.claim("j:0") is None


def test_a_lease_that_ran_out_passes_on_and_fences_its_old_holder(
    ledger: Ledger, spec: SpeechSpec
) -> None:
    ledger.admit("j", spec, ["one"])
    old = claim(ledger, "j:0")
    time.sleep(0.25)
    new = claim(ledger, "j:0")
    assert (new.epoch, new.attempt) == (old.epoch + 1, old.attempt + 1)
    for late in (
        lambda: ledger.commit(old, RESULT),
        lambda: ledger.fail(old, "c", "m"),
        lambda: ledger.release(old),
    ):
        with pytest.raises(StaleClaim):
            late()
    assert ledger.renew([old, new]) == [old]
    assert ledger.job("j").completed == 0
    assert ledger.commit(new, RESULT) == "j:join"


def test_renewing_keeps_a_lease(redis: Redis, spec: SpeechSpec) -> None:
    ledger = Ledger(redis, lease_s=1.0, max_attempts=3)
    ledger.admit("j", spec, ["one"])
    held = claim(ledger, "j:0")
    for _ in range(4):
        time.sleep(0.3)
        assert ledger.renew([held]) == []
    assert ledger.claim("j:0") is None


def test_a_result_is_committed_once(ledger: Ledger, spec: SpeechSpec) -> None:
    ledger.admit("j", spec, ["one", "two"])
    held = claim(ledger, "j:0")
    ledger.commit(held, RESULT)
    with pytest.raises(StaleClaim):
        ledger.commit(held, RESULT)
    assert ledger.job("j").completed == 1


def test_a_failed_segment_ends_its_job_and_the_others_are_not_begun(
    ledger: Ledger, spec: SpeechSpec, redis: Redis
) -> None:
    ledger.admit("j", spec, ["one", "two"])
    ledger.fail(claim(ledger, "j:0"), "synthesis_failed", "no voice")
    job = ledger.job("j")
    assert (job.status, job.failed) == (Status.FAILED, 1)
    assert (job.error_code, job.error_message) == ("synthesis_failed", "no voice")
    assert ledger.claim("j:1") is None
    assert redis.zcard(f"tts:queued:{spec.model}") == redis.zcard("tts:leases") == 0


def test_a_segment_that_ends_after_its_job_failed_starts_no_join(
    ledger: Ledger, spec: SpeechSpec
) -> None:
    ledger.admit("j", spec, ["one", "two"])
    first, second = claim(ledger, "j:0"), claim(ledger, "j:1")
    ledger.fail(first, "synthesis_failed", "no voice")
    assert ledger.commit(second, RESULT) is None
    assert ledger.job("j").status == Status.FAILED


def test_a_released_segment_waits_again_and_the_attempt_does_not_count(
    ledger: Ledger, spec: SpeechSpec
) -> None:
    ledger.admit("j", spec, ["one"])
    ledger.release(claim(ledger, "j:0"))
    assert claim(ledger, "j:0").attempt == 1


def test_reconciling_finds_what_lost_its_worker_or_its_message(
    ledger: Ledger, spec: SpeechSpec, redis: Redis
) -> None:
    ledger.admit("j", spec, ["one", "two"])
    claim(ledger, "j:0")
    time.sleep(0.25)
    found = ledger.reconcile(quiet_s=0.1)
    assert sorted(found) == [("j:0", spec.model), ("j:1", spec.model)]
    redis.delete("tts:reconciled")
    assert ledger.reconcile(quiet_s=60) == []


def test_reconciling_leaves_alone_what_still_has_messages(
    ledger: Ledger, spec: SpeechSpec, redis: Redis
) -> None:
    ledger.admit("j", spec, ["one"])
    redis.lpush(f"tts.{spec.model}", "a message")
    time.sleep(0.05)
    assert ledger.reconcile(quiet_s=0.01) == []


def test_a_lost_message_among_others_is_found_in_the_end(
    ledger: Ledger, spec: SpeechSpec, redis: Redis
) -> None:
    ledger.admit("j", spec, ["one", "two", "three"])
    redis.lpush(f"tts.{spec.model}", "a message", "another")
    time.sleep(0.05)
    assert [segment for segment, _model in ledger.reconcile(quiet_s=0.01)] == ["j:0"]


def test_reconciling_happens_once_for_all_workers(ledger: Ledger, spec: SpeechSpec) -> None:
    ledger.admit("j", spec, ["one"])
    time.sleep(0.05)
    assert ledger.reconcile(quiet_s=0.01) == [("j:0", spec.model)]
    time.sleep(0.05)
    assert ledger.reconcile(quiet_s=0.01) == []


def test_a_segment_that_loses_every_worker_fails_with_the_reason(
    ledger: Ledger, spec: SpeechSpec, redis: Redis
) -> None:
    ledger.admit("j", spec, ["one"])
    for attempt in range(1, 4):
        assert claim(ledger, "j:0").attempt == attempt
        time.sleep(0.25)
        redis.delete("tts:reconciled")
        ledger.reconcile()
    job = ledger.job("j")
    assert (job.status, job.error_code) == (Status.FAILED, "worker_lost")
    assert ledger.claim("j:0") is None


def test_one_of_many_claims_at_once_wins(ledger: Ledger, spec: SpeechSpec) -> None:
    ledger.admit("j", spec, ["one"])
    won: list[Claim | None] = []
    threads = [threading.Thread(target=lambda: won.append(ledger.claim("j:0"))) for _ in range(16)]
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
        "claim": lambda held: ledger.claim(held.segment_id),
        "commit": lambda held: ledger.commit(held, RESULT),
        "fail": lambda held: ledger.fail(held, "c", "m"),
        "release": lambda held: ledger.release(held),
    }
    for number, (before, name) in enumerate(itertools.product(Status, operations)):
        ledger.admit(f"j{number}", spec, ["one"])
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
    for call in (ledger.ping, lambda: ledger.claim("j:0"), lambda: ledger.job("j")):
        with pytest.raises(Unavailable, match="Redis does not answer"):
            call()


def test_reconciling_one_model_does_not_wait_for_another(
    ledger: Ledger, spec: SpeechSpec, redis: Redis
) -> None:
    ledger.admit("a", spec, ["one"] * 8)
    redis.lpush(f"tts.{spec.model}", *["a message"] * 8)
    ledger.admit("b", spec.model_copy(update={"model": "other"}), ["one"])
    time.sleep(0.05)
    assert ledger.reconcile(quiet_s=0.01, limit=5) == [("b:0", "other")]


def test_what_is_left_of_a_deleted_job_stops_nothing(
    ledger: Ledger, spec: SpeechSpec, redis: Redis
) -> None:
    redis.zadd("tts:leases", {"gone:0": 1})
    redis.sadd("tts:queues", spec.model)
    redis.zadd(f"tts:queued:{spec.model}", {"gone:1": 1})
    ledger.admit("j", spec, ["one"])
    time.sleep(0.05)
    assert ledger.reconcile(quiet_s=0.01) == [("j:0", spec.model)]
    assert redis.zcard("tts:leases") == 0


def test_a_claim_counts_the_attempts_too(ledger: Ledger, spec: SpeechSpec) -> None:
    ledger.admit("j", spec, ["one"])
    for _ in range(3):
        claim(ledger, "j:0")
        time.sleep(0.25)
    assert ledger.claim("j:0") is None
    assert ledger.job("j").error_code == "worker_lost"


def test_a_job_that_cannot_be_read_fails_and_says_so(
    ledger: Ledger, spec: SpeechSpec, redis: Redis
) -> None:
    ledger.admit("j", spec, ["one"])
    redis.hset("tts:job:j", "spec", '{"task": "sing", "model": "m"}')
    assert ledger.claim("j:0") is None
    assert redis.hget("tts:job:j", "error_code") == "unreadable_job"
