"""What an operator does to jobs and models: retry, requeue, prioritise, pause."""

from __future__ import annotations

import pytest
from redis import Redis

from shared.errors import (
    JobEnded,
    JobNotFound,
    ModelNotFound,
    NotRetriable,
    NotRunning,
    StaleClaim,
    WaitTooLong,
)
from shared.jobs import (
    Claim,
    Priority,
    SegmentResult,
    SpeechSpec,
    Status,
    StoredReference,
)
from shared.models import ModelCard
from shared.storage import Storage
from shared.store.batches import Batches
from shared.store.job_list import JobList
from shared.store.ledger import Ledger
from shared.store.limits import Limits
from shared.store.pauses import Pauses
from shared.store.repairs import SEGMENTS_PER_STEP, Repairs
from shared.store.workers import WorkerRegistry
from tests.support.claims import claim, end_leases
from tests.support.ledger_state import LedgerState
from tests.support.plain_segments import plain

MODEL = "tiny-CustomVoice"


@pytest.fixture
def repairs(redis: Redis) -> Repairs:
    return Repairs(redis, max_attempts=3)


def speak(ledger: Ledger, storage: Storage, held: Claim) -> Claim | None:
    key = f"jobs/{held.job_id}/segments/{held.segment_id}-{held.epoch}.wav"
    storage.put(key, b"RIFF")
    return ledger.commit(held, SegmentResult(key=key, samples=24_000))


def fail_second(ledger: Ledger, storage: Storage) -> None:
    """Commit the job's first segment and fail its second."""
    speak(ledger, storage, claim(ledger, "j:0"))
    ledger.fail(claim(ledger, "j:1"), "synthesis_failed", "ValueError: poisoned")


def speak_rest(ledger: Ledger, storage: Storage) -> list[str]:
    """Speak and join all that waits; returns the segments."""
    done = []
    held = ledger.claim(MODEL)
    while held is not None:
        done.append(held.segment_id)
        held = speak(ledger, storage, held) or ledger.claim(MODEL)
    return done


def test_the_failed_segment_alone_is_spoken_again(
    ledger: Ledger, repairs: Repairs, spec: SpeechSpec, storage: Storage, redis: Redis
) -> None:
    ledger.admit("j", spec, plain(["one", "poison", "three"]))
    fail_second(ledger, storage)
    failed = ledger.job("j")
    assert (failed.status, failed.failed_segment) == (Status.FAILED, "j:1")
    repairs.retry(failed, storage)
    repairs.retry(failed, storage)  # an operator may press twice
    again = ledger.job("j")
    assert (again.status, again.retries, again.completed) == (Status.QUEUED, 1, 1)
    assert (again.error_code, again.completed_at, again.failed) == (None, None, 0)
    LedgerState.read(redis).check()
    assert speak_rest(ledger, storage) == ["j:1", "j:2", "j:join"]
    assert ledger.job("j").status == Status.COMPLETED
    LedgerState.read(redis).check()
    with pytest.raises(NotRetriable, match="completed"):
        repairs.retry(ledger.job("j"), storage)


def test_a_whole_job_is_spoken_again(
    ledger: Ledger, repairs: Repairs, spec: SpeechSpec, storage: Storage, redis: Redis
) -> None:
    ledger.admit("j", spec, plain(["one", "poison"]))
    fail_second(ledger, storage)
    repairs.retry(ledger.job("j"), storage, whole=True)
    assert (ledger.job("j").completed, ledger.job("j").samples) == (0, 0)
    LedgerState.read(redis).check()
    assert speak_rest(ledger, storage) == ["j:0", "j:1", "j:join"]


def test_a_join_that_failed_is_joined_again(
    ledger: Ledger, repairs: Repairs, spec: SpeechSpec, storage: Storage, redis: Redis
) -> None:
    ledger.admit("j", spec, plain(["one"]))
    join = speak(ledger, storage, claim(ledger, "j:0"))
    assert join is not None
    ledger.fail(join, "synthesis_failed", "a full disk")
    repairs.retry(ledger.job("j"), storage)
    LedgerState.read(redis).check()
    assert speak_rest(ledger, storage) == ["j:join"]
    assert ledger.job("j").status == Status.COMPLETED


def test_a_long_job_is_retried_in_parts(
    ledger: Ledger, repairs: Repairs, spec: SpeechSpec, storage: Storage, redis: Redis
) -> None:
    ledger.admit("j", spec, plain(["one"] * (2 * SEGMENTS_PER_STEP + 1)))
    fail_second(ledger, storage)
    repairs.retry(ledger.job("j"), storage, whole=True)
    assert int(redis.hget("tts:queues", MODEL) or 0) == 2 * SEGMENTS_PER_STEP + 1
    assert redis.ttl("tts:waiting:j") == -1
    LedgerState.read(redis).check()


def test_a_worker_that_still_speaks_it_commits_nothing(
    ledger: Ledger, repairs: Repairs, spec: SpeechSpec, storage: Storage
) -> None:
    ledger.admit("j", spec, plain(["one", "two"]))
    late = claim(ledger, "j:0")
    ledger.fail(claim(ledger, "j:1"), "c", "m")
    repairs.retry(ledger.job("j"), storage)
    with pytest.raises(StaleClaim):
        speak(ledger, storage, late)
    assert claim(ledger, "j:0").epoch > late.epoch


def test_an_ended_batch_is_open_again(
    ledger: Ledger, repairs: Repairs, spec: SpeechSpec, storage: Storage, redis: Redis
) -> None:
    batches = Batches(redis)
    batches.begin("b", owner="a", endpoint="/v1/jobs", fingerprint="f", total=1, ttl_s=60)
    ledger.admit("j", spec, plain(["one", "two"]), batch="b")
    batches.admitted("b", [])
    fail_second(ledger, storage)
    assert batches.batch("b").completed_at is not None
    repairs.retry(ledger.job("j"), storage)
    batch = batches.batch("b")
    assert (batch.open, batch.failed, batch.completed_at) == (1, 0, None)
    assert redis.ttl("tts:batch:b") == -1
    speak_rest(ledger, storage)
    batch = batches.batch("b")
    assert (batch.open, batch.failed, batch.completed) == (0, 0, 1)
    assert redis.ttl("tts:batch:b") > 0


def test_a_batch_that_is_gone_stays_so(
    ledger: Ledger, repairs: Repairs, spec: SpeechSpec, storage: Storage, redis: Redis
) -> None:
    ledger.admit("j", spec, plain(["one", "two"]), batch="gone")
    fail_second(ledger, storage)
    repairs.retry(ledger.job("j"), storage)
    assert not redis.exists("tts:batch:gone")


def test_an_owner_at_its_limits_gets_the_retry_and_pays_once(
    ledger: Ledger, repairs: Repairs, spec: SpeechSpec, storage: Storage, redis: Redis
) -> None:
    limits = Limits(open_segments=10, owner_jobs=1)
    ledger.admit("j", spec, plain(["one", "two"]), owner="ann", limits=limits)
    used = redis.hgetall(*redis.keys("tts:used:*"))
    fail_second(ledger, storage)
    ledger.admit("k", spec, plain(["more"]), owner="ann", limits=limits)
    repairs.retry(ledger.job("j"), storage)
    assert redis.hgetall("tts:open_jobs") == {"ann": "2"}
    ledger.cancel("k")
    reserved = int(redis.hgetall(*redis.keys("tts:used:*"))["samples"])
    assert reserved == int(used["samples"])
    speak_rest(ledger, storage)
    assert redis.hgetall(*redis.keys("tts:used:*"))["samples"] == "24000"
    assert redis.hgetall("tts:open_jobs") == {}


def test_a_deadline_that_has_passed_does_not_end_the_retry(
    ledger: Ledger, repairs: Repairs, spec: SpeechSpec, storage: Storage, redis: Redis
) -> None:
    ledger.admit("j", spec, plain(["one", "two"]), cancel_after_s=1_000)
    fail_second(ledger, storage)
    redis.hset("tts:job:j", "cancel_at", 1)
    repairs.retry(ledger.job("j"), storage)
    assert ledger.job("j").status == Status.QUEUED
    assert ledger.job("j").cancel_at is None


def test_a_job_whose_files_are_gone_is_refused_and_a_whole_one_is_not(
    ledger: Ledger, repairs: Repairs, spec: SpeechSpec, storage: Storage
) -> None:
    ledger.admit("j", spec, plain(["one", "two"]))
    fail_second(ledger, storage)
    storage.delete_folder("jobs/j/segments")
    with pytest.raises(NotRetriable, match="retry the whole job"):
        repairs.retry(ledger.job("j"), storage)
    assert ledger.job("j").status == Status.FAILED
    repairs.retry(ledger.job("j"), storage, whole=True)
    assert ledger.job("j").status == Status.QUEUED


def test_a_clone_whose_recording_is_gone_is_refused(
    ledger: Ledger, repairs: Repairs, spec: SpeechSpec, storage: Storage
) -> None:
    reference = StoredReference(key="jobs/j/segments/reference", digest="d")
    ledger.admit("j", spec.model_copy(update={"reference": reference}), plain(["one"]))
    ledger.fail(claim(ledger, "j:0"), "c", "m")
    with pytest.raises(NotRetriable, match="recording"):
        repairs.retry(ledger.job("j"), storage, whole=True)


def test_the_files_of_a_failed_job_are_kept_for_it(
    ledger: Ledger, spec: SpeechSpec, storage: Storage
) -> None:
    ledger.admit("j", spec, plain(["one", "two"]))
    fail_second(ledger, storage)
    assert ledger.with_leftovers(-1) == []
    assert ledger.expired(-1) == ["j"]


def test_a_job_that_is_deleted_meanwhile_is_not_there(
    ledger: Ledger, repairs: Repairs, spec: SpeechSpec, storage: Storage, redis: Redis
) -> None:
    ledger.admit("j", spec, plain(["one", "two"]))
    fail_second(ledger, storage)
    failed = ledger.job("j")
    ledger.forget("j")
    with pytest.raises(JobNotFound):
        repairs.retry(failed, storage)
    assert not redis.exists("tts:retrying:j")


def test_a_segment_is_taken_from_its_worker(
    ledger: Ledger, repairs: Repairs, spec: SpeechSpec, redis: Redis
) -> None:
    ledger.admit("j", spec, plain(["one"]))
    stuck = Ledger(redis, lease_s=10, max_attempts=3, worker="stuck")
    held = claim(stuck, "j:0")
    assert repairs.requeue("j:0") == "stuck"
    assert stuck.renew([held]) == [held]
    assert claim(ledger, "j:0").attempt == 1
    end_leases(redis)
    for segment in ("j:1", "nothing:0"):
        with pytest.raises(NotRunning):
            repairs.requeue(segment)


def test_a_job_passes_others_of_its_owner(
    ledger: Ledger, repairs: Repairs, spec: SpeechSpec
) -> None:
    for name in ("a", "b"):
        ledger.admit(name, spec, plain(["one"] * 4))
    repairs.prioritise("b", Priority.HIGH)
    assert ledger.job("b").priority == Priority.HIGH
    claimed = [held.job_id for _ in range(6) if (held := ledger.claim(MODEL)) is not None]
    assert claimed.count("b") == 4
    with pytest.raises(JobNotFound):
        repairs.prioritise("nothing", Priority.LOW)
    ledger.cancel("a")
    with pytest.raises(JobEnded):
        repairs.prioritise("a", Priority.LOW)


def test_nothing_of_a_paused_model_is_claimed(
    ledger: Ledger, spec: SpeechSpec, redis: Redis, card: ModelCard
) -> None:
    pauses, registry = Pauses(redis), WorkerRegistry(redis)
    registry.sign_in("w", card)
    ledger.admit("j", spec, plain(["one"]))
    since = pauses.pause(MODEL)
    assert pauses.pause(MODEL) == since
    assert ledger.claim(MODEL) is None
    assert ledger.job("j").paused
    assert next(ledger.marks(["j"])) == ledger.job("j").mark == "0-queued-paused"
    page = JobList(redis).page(None, limit=1, keep=lambda _job: True)
    assert page.jobs[0].paused
    assert ledger.waiting([MODEL]) == {MODEL: 0}
    assert ledger.reconcile() == []
    with pytest.raises(WaitTooLong):
        ledger.admit("live", spec, plain(["one"]), begin_within_s=30)
    assert pauses.resume(MODEL)
    assert not pauses.resume(MODEL)
    assert claim(ledger, "j:0")
    for change in (pauses.pause, pauses.resume):
        with pytest.raises(ModelNotFound):
            change("no-such-model")
