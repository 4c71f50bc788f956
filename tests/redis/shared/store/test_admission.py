"""Admission in steps: no client sees half of it, and a refusal is the truth."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ConnectionError

from client.local.redis_server import RedisServer
from shared.errors import JobNotFound, NotAdmitted, Overloaded, QuotaExceeded, Unavailable
from shared.jobs import ChapterStart, Job, Outline, Priority, SpeechSpec, Status
from shared.store.admission import SEGMENTS_PER_STEP, STEP_START_TIMEOUT_S
from shared.store.connection import connect
from shared.store.ledger import Ledger, name_key
from shared.store.limits import Idempotency, Limits
from shared.store.scripts import load
from shared.store.webhooks import Webhook
from tests.support.clocks import set_forward
from tests.support.ledger_state import LedgerState
from tests.support.plain_segments import id_of, plain

MODEL = "tiny-CustomVoice"
MANY = 2 * SEGMENTS_PER_STEP + 7


class Interrupted(Exception):
    """Raised where a test stops an admission."""


def before_each_part(patch: pytest.MonkeyPatch, redis: Redis, act: Callable[[], None]) -> None:
    """Call `act` before each step that adds a part to a job."""
    run, part = redis.evalsha, redis.register_script(load("admit_part")).sha

    def act_and_run(sha: str, *args: Any) -> Any:
        if sha == part:
            act()
        return run(sha, *args)

    patch.setattr(redis, "evalsha", act_and_run)


def interrupt(patch: pytest.MonkeyPatch, redis: Redis) -> None:
    """Stop every admission before its second part, as kill -9 does."""

    def stop() -> None:
        raise Interrupted

    before_each_part(patch, redis, stop)


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch, redis: Redis) -> Callable[[], None]:
    return lambda: interrupt(monkeypatch, redis)


def begin_only(ledger: Ledger, spec: SpeechSpec, name: str = "j", **options: object) -> None:
    with pytest.raises(Interrupted):
        ledger.admit(name, spec, plain(["one"] * MANY), **options)  # type: ignore[arg-type]


def test_a_long_job_is_whole_and_in_order(ledger: Ledger, spec: SpeechSpec, redis: Redis) -> None:
    texts = [f"text {number}" for number in range(MANY)]
    ledger.admit("j", spec, plain(texts))
    LedgerState.read(redis).check()
    claims = [ledger.claim(MODEL) for _ in range(MANY)]
    assert [held.text for held in claims if held] == texts
    assert ledger.claim(MODEL) is None


def test_a_job_that_is_not_whole_is_not_there(
    ledger: Ledger, spec: SpeechSpec, redis: Redis, interrupted: Callable[[], None]
) -> None:
    interrupted()
    begin_only(ledger, spec)
    LedgerState.read(redis).check()
    assert ledger.claim(MODEL) is None
    for ask in (ledger.job, ledger.cancel):
        with pytest.raises(JobNotFound):
            ask("j")
    assert ledger.forget("j") is False
    assert redis.zcard("tts:jobs") == 0


def test_an_admission_that_stopped_is_given_up_and_nothing_of_it_counts(
    ledger: Ledger, spec: SpeechSpec, redis: Redis, interrupted: Callable[[], None]
) -> None:
    interrupted()
    limits = Limits(owner_jobs=1, owner_chars=100_000, day_chars=100_000, day_audio_s=10_000)
    sent = Idempotency("k", "print")
    begin_only(ledger, spec, limits=limits, idempotency=sent)
    with pytest.raises(QuotaExceeded):
        ledger.admit("k", spec, plain(["one"]), limits=limits)
    redis.zadd("tts:admitting", {"j": 1})
    ledger.reconcile()
    assert ledger.forgotten() == ["j"]  # its files are to be deleted
    ledger.files_deleted("j")
    left = [
        key for key in redis.scan_iter() if not key.startswith(("tts:reconciled_at", "tts:used:"))
    ]
    assert left == []
    used = redis.hgetall(next(redis.scan_iter("tts:used:*")))
    assert used == {"chars": "0", "samples": "0"}
    assert id_of(ledger.admit("k", spec, plain(["one"]), limits=limits, idempotency=sent)) == "k"


def test_the_same_request_waits_until_the_first_is_accepted(
    ledger: Ledger, spec: SpeechSpec, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        assert go_on.wait(10)

    before_each_part(monkeypatch, redis, wait)
    sent, texts, ids = Idempotency("k", "print"), plain(["one"] * MANY), list[str]()
    first = threading.Thread(
        target=lambda: ids.append(id_of(ledger.admit("j", spec, texts, idempotency=sent)))
    )
    first.start()
    assert begun.wait(10)
    with pytest.raises(NotAdmitted, match="send it again shortly"):
        ledger.admit("k", spec, texts, idempotency=sent)
    threading.Timer(0.3, go_on.set).start()
    assert id_of(ledger.admit("l", spec, texts, idempotency=sent)) == "j"
    first.join()
    assert ids == ["j"]


def test_a_job_is_in_open_segments_while_it_is_admitted(
    ledger: Ledger, spec: SpeechSpec, interrupted: Callable[[], None]
) -> None:
    interrupted()
    begin_only(ledger, spec, owner="a")
    with pytest.raises(Overloaded, match="the queue is full"):
        ledger.admit("k", spec, plain(["x"]), owner="b", limits=Limits(open_segments=MANY))


def test_one_owner_leaves_room_for_the_others(ledger: Ledger, spec: SpeechSpec) -> None:
    limits = Limits(open_segments=100, owner_segments=60)
    ledger.admit("a", spec, plain(["a"] * 50), owner="greedy", limits=limits)
    with pytest.raises(QuotaExceeded, match="more than 60 segments of yours"):
        ledger.admit("b", spec, plain(["a"] * 11), owner="greedy", limits=limits)
    ledger.admit("c", spec, plain(["a"] * 40), owner="other", limits=limits)
    held = ledger.claim(MODEL)
    assert held is not None
    ledger.cancel("a")
    ledger.admit("d", spec, plain(["a"] * 30), owner="greedy", limits=limits)


def test_a_short_segment_counts_twenty_characters(
    ledger: Ledger, spec: SpeechSpec, redis: Redis
) -> None:
    ledger.admit("a", spec, plain(["a"] * 10 + ["b" * 50]), owner="me")
    assert redis.hget("tts:open_chars", "me") == "250"
    with pytest.raises(QuotaExceeded, match="characters a day"):
        ledger.admit("b", spec, plain(["a"] * 10), owner="me", limits=Limits(day_chars=449))


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path, log=tmp_path / "redis.log") as server:
        yield server


def freeze(redis: Redis, seconds: float) -> threading.Timer:
    """Stop the Redis process for this long, from now on."""
    process = int(redis.info("server")["process_id"])
    os.kill(process, signal.SIGSTOP)
    timer = threading.Timer(seconds, os.kill, (process, signal.SIGCONT))
    timer.start()
    return timer


@pytest.mark.parametrize("segments", [1, MANY])
def test_a_job_that_was_refused_by_a_busy_redis_is_never_there(
    own_redis: RedisServer, spec: SpeechSpec, segments: int
) -> None:
    """Redis has the step in its socket, and wakes up after its sender was told 503."""
    redis = connect(own_redis.url, answers_within_s=2.0)
    ledger = Ledger(redis, lease_s=10, max_attempts=3)
    ledger.admit("before", spec, plain(["one"]))
    began_s = time.monotonic()
    sleeper = freeze(redis, STEP_START_TIMEOUT_S + 1.7)
    with pytest.raises(Unavailable, match=r"nothing was accepted|its id is j"):
        ledger.admit("j", spec, plain(["one"] * segments))
    assert time.monotonic() - began_s < 4
    sleeper.join()
    for _ in range(3):  # it accepts, reads and runs what waits in its sockets before the last
        redis.ping()
    with pytest.raises(JobNotFound):
        ledger.job("j")
    assert redis.zrange("tts:jobs", 0, -1) == ["before"]


def lose_answers(patch: pytest.MonkeyPatch, redis: Redis) -> None:
    run = redis.evalsha

    def lose(*args: Any) -> Any:
        run(*args)
        raise ConnectionError

    patch.setattr(redis, "evalsha", lose)


def test_a_job_whose_answer_was_lost_is_known_to_be_accepted(
    ledger: Ledger, spec: SpeechSpec, redis: Redis
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        lose_answers(patch, redis)
        assert id_of(ledger.admit("j", spec, plain(["one"]))) == "j"
        with pytest.raises(NotAdmitted, match="nothing was accepted"):
            ledger.admit("k", spec, plain(["one"] * MANY))
    assert ledger.job("j").status == Status.QUEUED
    with pytest.raises(JobNotFound):
        ledger.job("k")
    assert ledger.forgotten() == ["k"]


def send_twice(patch: pytest.MonkeyPatch, redis: Redis) -> None:
    run = redis.evalsha

    def twice(*args: Any) -> Any:
        run(*args)
        return run(*args)

    patch.setattr(redis, "evalsha", twice)


def set_this_clock_wrong(patch: pytest.MonkeyPatch, _redis: Redis) -> None:
    now_s = time.time
    patch.setattr(time, "time", lambda: now_s() + 3_600)


@pytest.mark.parametrize("name", [None, "book-1"])
@pytest.mark.parametrize(
    ("disturb", "segments"),
    [
        (set_this_clock_wrong, 1),
        (set_this_clock_wrong, MANY),
        (send_twice, 1),
        (send_twice, MANY),
        (lose_answers, 1),
    ],
)
def test_the_admitted_job_is_the_one_that_is_read_afterwards(
    ledger: Ledger,
    spec: SpeechSpec,
    redis: Redis,
    disturb: Callable[[pytest.MonkeyPatch, Redis], None],
    segments: int,
    name: str | None,
) -> None:
    sent = Idempotency(name_key(name), "print") if name else None
    with pytest.MonkeyPatch.context() as patch:
        disturb(patch, redis)
        admitted = ledger.admit(
            "j",
            spec,
            plain(["one"] * segments),
            outline=Outline(title="T", chapters=(ChapterStart("One", 0),)),
            owner="me",
            idempotency=sent,
            name=name,
            priority=Priority.HIGH,
            cancel_after_s=60.5 if name else None,
            webhook=Webhook(url="https://a.example/x", receiver="https://a.example:443"),
        )
    assert isinstance(admitted, Job)
    read = ledger.job("j")
    assert abs(admitted.seen_at - read.seen_at) < 60
    # The queue and the workers are first known to a poll.
    polled = {"seen_at", "queue_position", "queue_eta_s", "live_workers"}
    assert admitted.model_dump(exclude=polled) == read.model_dump(exclude=polled)


def test_a_step_that_comes_too_late_is_tried_by_the_right_clock(
    ledger: Ledger, spec: SpeechSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis's clock was set forward by an hour."""
    ledger.admit("a", spec, plain(["one"]))
    set_forward(monkeypatch, -3_600)
    assert id_of(ledger.admit("j", spec, plain(["one"] * MANY))) == "j"


def test_quotas_of_audio_are_reserved_and_settled(
    ledger: Ledger, spec: SpeechSpec, redis: Redis
) -> None:
    """Ten texts of 20 s, of which nothing is spoken yet, are 200 s; so are marked pauses."""
    from shared.document import Segment
    from shared.errors import DayQuotaExceeded
    from shared.jobs import SegmentResult

    limits, text = Limits(day_audio_s=100), "x" * 15 * 20
    for name in ("a", "b", "c", "d"):
        ledger.admit(name, spec, plain([text]), owner="me", limits=limits)
    with pytest.raises(DayQuotaExceeded):
        ledger.admit("e", spec, plain([text] * 2), owner="me", limits=limits)
    with pytest.raises(DayQuotaExceeded):
        ledger.admit("e", spec, [Segment("x", 0, 1, 30.0)], owner="me", limits=limits)
    ledger.cancel("a")
    held = ledger.claim(MODEL)
    assert held is not None
    join = ledger.commit(held, SegmentResult(key="k", samples=5 * 24_000))
    assert join is not None
    ledger.commit(join, SegmentResult(key="k", samples=6 * 24_000), size_bytes=1)
    assert int(redis.hvals(next(redis.scan_iter("tts:used:*:me")))[1]) == (6 + 40) * 24_000
    ledger.admit("e", spec, plain([text] * 2), owner="me", limits=limits)


def test_the_same_request_takes_the_place_of_one_whose_process_has_died(
    ledger: Ledger, spec: SpeechSpec, redis: Redis
) -> None:
    """Also while no worker is there to reconcile."""
    with pytest.MonkeyPatch.context() as patch:
        interrupt(patch, redis)
        sent = Idempotency("k", "print")
        begin_only(ledger, spec, idempotency=sent)
    redis.zadd("tts:admitting", {"j": 1})
    texts = plain(["one"] * MANY)
    assert id_of(ledger.admit("k", spec, texts, idempotency=sent)) == "k"
    assert id_of(ledger.admit("l", spec, texts, idempotency=sent)) == "k"
    with pytest.raises(JobNotFound):
        ledger.job("j")


def test_a_job_longer_than_a_days_audio_is_not_told_to_wait(
    ledger: Ledger, spec: SpeechSpec
) -> None:
    with pytest.raises(QuotaExceeded, match="send it in parts"):
        ledger.admit("j", spec, plain(["x" * 1_000]), limits=Limits(day_audio_s=10))


def test_each_answer_tells_the_time(
    ledger: Ledger, spec: SpeechSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a step that comes late would be in time by a clock that has been set back."""
    ledger.admit("a", spec, plain(["one"]))
    set_forward(monkeypatch, 3_600)
    admitted = ledger.admit("b", spec, plain(["one"]))
    assert isinstance(admitted, Job)
    assert abs(admitted.seen_at - time.time()) < 60
