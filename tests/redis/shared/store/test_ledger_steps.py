"""No step does more than a bounded number of commands, however much there is.

Commands are counted, since time says little on a busy machine; `benchmarks/steps_of_redis.py`
measures it: 1,200 of them take some 4 ms.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from redis import Redis
from redis.commands.core import Script

from shared.document import Segment
from shared.errors import JobNotFound, NotAdmitted, WaitTooLong
from shared.jobs import ChapterStart, Job, Outline, SegmentResult, SpeechSpec
from shared.storage import Storage
from shared.store.batches import Batches, BatchLine
from shared.store.connection import connect
from shared.store.ledger import Ledger
from shared.store.queue_state import QueueState
from shared.store.repairs import Repairs
from shared.store.scripts import load
from tests.support.plain_segments import plain

MOST = 1_200
MODEL = "tiny-CustomVoice"
LONG = 3_000


class Counted:
    """The commands of each step, by Redis's own statistics."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self.most = 0
        self.steps = 0

    def commands(self) -> int:
        found: dict[str, Any] = self._redis.info("commandstats")
        return sum(int(each["calls"]) for each in found.values())

    @contextmanager
    def step(self) -> Iterator[None]:
        before = self.commands()
        yield
        self.steps += 1
        self.most = max(self.most, self.commands() - before)


@pytest.fixture
def counted(redis_server: Any, monkeypatch: pytest.MonkeyPatch) -> Counted:
    """Counts every step of any ledger, batch and queue."""
    counted, call = Counted(connect(redis_server.url)), Script.__call__

    def count(self: Script, *args: Any, **options: Any) -> Any:
        with counted.step():
            return call(self, *args, **options)

    monkeypatch.setattr(Script, "__call__", count)
    return counted


@pytest.fixture
def book(ledger: Ledger, spec: SpeechSpec) -> list[Segment]:
    """A job `book` of 3,000 segments and as many chapters."""
    segments = plain(["one"] * LONG)
    chapters = tuple(ChapterStart(f"Chapter {n}", n) for n in range(LONG))
    ledger.admit("book", spec, segments, outline=Outline(chapters=chapters), owner="a")
    return segments


def cancel(ledger: Ledger) -> None:
    assert ledger.cancel("book")


def forget(ledger: Ledger) -> None:
    ledger.cancel("book")
    assert ledger.forget("book")


def fail(ledger: Ledger) -> None:
    held = ledger.claim(MODEL)
    assert held is not None
    ledger.fail(held, "c", "m")


def commit(ledger: Ledger) -> None:
    held = ledger.claim(MODEL)
    assert held is not None
    ledger.commit(held, SegmentResult(key="k", samples=1))


def withdraw(ledger: Ledger) -> None:
    assert ledger.withdraw("book")


def end_in_short_steps(ledger: Ledger, counted: Counted, end: Callable[[], None]) -> None:
    for _ in range(500):
        ledger.claim(MODEL)
    end()
    ledger.reconcile()
    assert counted.steps > 500
    assert counted.most <= MOST


@pytest.mark.usefixtures("book")
@pytest.mark.parametrize(
    "ends",
    [cancel, forget, fail, commit, withdraw],
    ids=lambda ends: ends.__name__,
)
def test_ending_a_long_job_takes_short_steps(
    ledger: Ledger, counted: Counted, ends: Callable[[Ledger], None]
) -> None:
    end_in_short_steps(ledger, counted, lambda: ends(ledger))


@pytest.mark.usefixtures("book")
def test_missing_the_deadline_of_a_long_job_takes_short_steps(
    ledger: Ledger, counted: Counted, redis: Redis
) -> None:
    def miss_the_deadline() -> None:
        redis.hset("tts:job:book", "cancel_at", 1)
        assert ledger.job("book").status == "cancelled"

    end_in_short_steps(ledger, counted, miss_the_deadline)


def test_admitting_a_long_job_takes_short_steps(
    ledger: Ledger, counted: Counted, spec: SpeechSpec
) -> None:
    ledger.admit("book", spec, plain(["one"] * LONG))
    assert counted.steps >= LONG / 500
    assert counted.most <= MOST


@pytest.mark.usefixtures("book")
def test_retrying_a_long_job_takes_short_steps(
    ledger: Ledger, counted: Counted, redis: Redis, storage: Storage
) -> None:
    for _ in range(200):
        commit(ledger)
    fail(ledger)
    storage.put("k", b"")
    counted.steps = 0
    Repairs(redis, max_attempts=3).retry(ledger.job("book"), storage, whole=True)
    assert counted.steps > LONG / 100
    assert counted.most <= MOST


def test_deleting_leaves_no_segment(
    ledger: Ledger, book: list[Segment], redis: Redis, counted: Counted
) -> None:
    forget(ledger)
    assert counted.steps > len(book) / 1_000
    assert list(redis.scan_iter("tts:segment:*")) == []
    assert redis.zcard("tts:deleting") == 0


def test_what_a_deletion_leaves_is_deleted_by_reconciling(
    ledger: Ledger, book: list[Segment], redis: Redis
) -> None:
    ledger.cancel("book")
    redis.register_script(load("delete_job"))(args=["book"])  # the caller dies after this part
    assert len(list(redis.scan_iter("tts:segment:*"))) in range(1, len(book))
    ledger.reconcile()
    assert list(redis.scan_iter("tts:segment:*")) == []


def test_polls_and_claims_do_not_depend_on_the_number_of_owners(
    ledger: Ledger, counted: Counted, spec: SpeechSpec, redis: Redis
) -> None:
    costs = []
    for owners in (100, 1_000):
        for number in range(owners):
            ledger.admit(f"{owners}-{number}", spec, plain(["one"]), owner=f"o{owners}-{number}")
        counted.most = 0
        for number in (0, owners // 2, owners - 1):
            ledger.job(f"{owners}-{number}")
        QueueState.read(redis)
        assert ledger.claim(MODEL)
        costs.append(counted.most)
    assert costs[1] <= costs[0] + 10
    assert costs[1] <= 150


def test_positions_are_exact_among_few_owners_and_near_among_many(
    ledger: Ledger, spec: SpeechSpec
) -> None:
    for number in range(300):
        for job in range(2):
            ledger.admit(f"{number:03}-{job}", spec, plain(["one"]), owner=f"o{number:03}")
    for number in (0, 100, 299):
        assert ledger.job(f"{number:03}-0").queue_position == number + 1
        assert ledger.job(f"{number:03}-1").queue_position == 300 + number + 1


def fill(ledger: Ledger, spec: SpeechSpec, jobs: dict[str, int]) -> None:
    for owner, count in jobs.items():
        for number in range(count):
            ledger.admit(f"{owner}{number}", spec, plain(["one"]), owner=owner)


@pytest.mark.parametrize(
    ("jobs", "before"),
    [
        ({}, 0),
        ({"other": 5}, 1),  # owners take turns
        ({"a": 3, "b": 4, "c": 1}, 3),
        ({"own": 4}, 4),
        ({"other": 9, "own": 2}, 5),
        ({"own": 2, "zed": 9}, 4),
    ],
)
def test_what_would_begin_too_late_is_not_accepted(
    ledger: Ledger, spec: SpeechSpec, redis: Redis, jobs: dict[str, int], before: int
) -> None:
    fill(ledger, spec, jobs)
    now_s = int(redis.time()[0])
    redis.set(f"tts:pace:{now_s // 10 - 2}", 5)  # one in 2 s, in the fastest of the last minute
    redis.set(f"tts:pace:{now_s // 10 - 3}", 2)
    within_s = 2 * before

    def admit(name: str, begin_within_s: float) -> Job | str:
        asked = {"owner": "own", "begin_within_s": begin_within_s}
        return ledger.admit(name, spec, plain(["one"]), **asked)

    if before:
        with pytest.raises(WaitTooLong) as refused:
            admit("late", within_s - 0.5)
        assert refused.value.retry_after_s == 1
        with pytest.raises(JobNotFound):
            ledger.job("late")
    assert isinstance(admit("zz", within_s + 0.5), Job)
    assert ledger.job("zz").queue_position == before + 1


def test_a_wait_that_is_not_known_is_none(ledger: Ledger, spec: SpeechSpec, redis: Redis) -> None:
    fill(ledger, spec, {"own": 50})
    assert ledger.admit("new", spec, plain(["one"]), owner="own", begin_within_s=1) != "new"
    redis.set(f"tts:pace:{int(redis.time()[0]) // 10}", 1)
    with pytest.raises(WaitTooLong) as refused:
        ledger.admit("late", spec, plain(["one"]), owner="own", begin_within_s=1)
    assert refused.value.retry_after_s == 120


def test_jobs_of_a_newer_version_cost_a_claim_little(
    ledger: Ledger, counted: Counted, spec: SpeechSpec, redis: Redis
) -> None:
    for owner in range(40):
        for number in range(40):
            name = f"{owner}-{number}"
            ledger.admit(name, spec, plain(["one"]), owner=f"o{owner:02}")
            redis.hset(f"tts:job:{name}", "version", 99)
    counted.most = 0
    assert ledger.claim(MODEL) is None
    assert counted.most <= MOST


def test_reconciling_takes_short_steps_and_goes_on(
    ledger: Ledger, counted: Counted, spec: SpeechSpec, redis: Redis, book: list[Segment]
) -> None:
    held = [ledger.claim(MODEL) for _ in range(400)]
    for number in range(400):
        ledger.admit(f"j{number}", spec, plain(["one"]), cancel_after_s=3_600)
    redis.zadd("tts:leases", {claim.segment_id: 1 for claim in held if claim})
    redis.zadd("tts:deadlines", {f"j{number}": 1 for number in range(400)})
    redis.delete("tts:reconciled_at")
    counted.most = counted.steps = 0
    assert ledger.reconcile() == [(MODEL, len(book))]
    assert redis.zcard("tts:leases") == redis.zcard("tts:deadlines") == 0
    assert counted.steps >= 8
    # 50 leases that ran out, and 50 jobs past their deadline.
    assert counted.most <= 3_000


def test_a_batch_of_many_lines_takes_short_steps(redis: Redis, counted: Counted) -> None:
    batches, total = Batches(redis), 3_200
    batches.begin("b", owner="a", endpoint="e", fingerprint="f", total=total, ttl_s=60)
    lines = [BatchLine(custom_id=str(number), job_id=f"j{number}") for number in range(total)]
    for _ in range(2):
        batches.admitted("b", lines)
    assert list(batches.lines("b")) == lines
    assert counted.most <= MOST


def test_a_batch_that_is_gone_takes_no_lines(redis: Redis) -> None:
    with pytest.raises(Exception, match="send it again"):
        Batches(redis).admitted("b", [BatchLine(custom_id="1", job_id="j")])
    assert list(redis.scan_iter("tts:batch:*")) == []


@pytest.mark.usefixtures("book")
def test_a_full_redis_takes_nothing_in_and_lets_everything_end(
    ledger: Ledger, spec: SpeechSpec, redis: Redis
) -> None:
    held = ledger.claim(MODEL)
    assert held is not None
    ledger.admit("short", spec, plain(["one"]), owner="b")
    redis.config_set("maxmemory", 1)
    try:
        began_s = time.monotonic()
        with pytest.raises(NotAdmitted, match="nothing was accepted"):
            ledger.admit("j", spec, plain(["one"] * LONG))
        assert time.monotonic() - began_s < 1  # Redis has answered: there is nothing to wait for
        assert not redis.exists("tts:job:j")
        ledger.commit(held, SegmentResult(key="k", samples=1))
        ledger.reconcile()
        another = ledger.claim(MODEL)
        assert another is not None
        ledger.release(another)
        assert ledger.cancel("book")
        assert ledger.job("book").status == "cancelled"
        assert ledger.forget("book")
    finally:
        redis.config_set("maxmemory", 0)
    assert list(redis.scan_iter("tts:segment:book:*")) == []
    ledger.admit("j", spec, plain(["one"]))


@pytest.mark.usefixtures("book")
def test_a_read_only_redis_answers_polls(ledger: Ledger, redis: Redis) -> None:
    redis.replicaof("127.0.0.1", 1)
    try:
        assert ledger.job("book").status == "queued"
        QueueState.read(redis)
    finally:
        redis.replicaof("NO", "ONE")
