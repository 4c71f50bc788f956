"""A real ledger and storage, and an engine whose runner is a stub."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from redis import Redis

from client.local.redis_server import RedisServer
from shared.audio.wav import decode_wav
from shared.errors import Unavailable
from shared.jobs import TERMINAL, Claim, SegmentResult, SpeechSpec, Status
from shared.storage import Storage
from shared.store import keys
from shared.store.ledger import Ledger
from shared.store.live_audio import STREAM_TTL_S, LiveChunk
from tests.support.claims import end_leases
from tests.support.plain_segments import plain
from tests.support.processes import wait_until
from tests.support.s3_server import S3Server
from tests.support.stub_runner import StubRunner
from worker import live_publisher, retry
from worker.engine.engine import Engine
from worker.heartbeat import Heartbeat
from worker.live_publisher import MAX_QUEUED_CHUNKS, LivePublisher
from worker.model.pool import EngineHold
from worker.segment_task import SegmentTask


def test_segments_become_one_file_in_order(
    task: SegmentTask, ledger: Ledger, storage: Storage, spec: SpeechSpec
) -> None:
    ledger.admit("j", spec, plain(["abc", "de"]))
    task()
    task()
    job = ledger.job("j")
    assert (job.status, job.truncated, job.samples) == (Status.COMPLETED, 0, 5 * 1_920)
    assert job.result_key is not None
    content = storage.get(job.result_key)
    assert len(content) == job.result_bytes
    samples = np.frombuffer(content[-2 * job.samples :], dtype="<i2")
    # In the middle of frames: where segments meet, their edges are faded.
    assert samples[960::1_920].tolist() == [ord(char) for char in "abcde"]


def test_the_request_is_what_the_job_says(
    task: SegmentTask, ledger: Ledger, runner: StubRunner, spec: SpeechSpec
) -> None:
    sampling = {"top_k": 7, "max_new_tokens": 40}
    asked = spec.model_copy(
        update={
            "language": "german",
            "instructions": "softly",
            "seed": 5,
            "sampling": spec.sampling.model_copy(update=sampling),
        }
    )
    ledger.admit("j", asked, plain(["abc"]))
    task()
    (request,) = runner.admitted
    assert (request.task, request.text, request.max_frames) == ("custom_voice", "abc", 39)
    assert (request.language, request.speaker, request.instruct) == ("german", "vivian", "softly")
    assert (request.sampling.top_k, request.sampling.seed) == (7, 5)


def test_a_repeated_message_costs_no_synthesis(
    task: SegmentTask, ledger: Ledger, runner: StubRunner, spec: SpeechSpec
) -> None:
    ledger.admit("j", spec, plain(["abc"]))
    for _ in range(5):
        task()
    assert len(runner.admitted) == 1


def test_a_segment_that_cannot_be_spoken_fails_with_the_reason(
    task: SegmentTask, ledger: Ledger, spec: SpeechSpec
) -> None:
    ledger.admit("j", spec, plain(["bad"]))
    task()
    job = ledger.job("j")
    assert (job.status, job.error_code) == (Status.FAILED, "synthesis_failed")
    assert job.error_message == "ValueError: no voice"


def test_a_result_waits_for_a_storage_that_is_away(
    task: SegmentTask,
    ledger: Ledger,
    runner: StubRunner,
    spec: SpeechSpec,
    results: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    ledger.admit("j", spec, plain(["abc"]))
    blocker = results / "jobs"
    blocker.write_bytes(b"a file where a folder should be")
    patient = threading.Thread(target=task)
    patient.start()
    wait_until(lambda: caplog.text.count("Trying again") >= 2)
    assert ledger.job("j").completed == 0
    blocker.unlink()
    patient.join(10)
    assert ledger.job("j").status == Status.COMPLETED
    assert len(runner.admitted) == 1


def test_at_the_end_what_is_not_done_is_handed_back(
    task: SegmentTask,
    heartbeat: Heartbeat,
    ledger: Ledger,
    runner: StubRunner,
    spec: SpeechSpec,
) -> None:
    ledger.admit("j", spec, plain(["a long text"]))
    runner.go.clear()
    holder = threading.Thread(target=task)
    holder.start()
    wait_until(lambda: runner.rows)
    heartbeat.revoke_leases()
    runner.go.set()
    holder.join(10)
    again = ledger.claim(spec.model)
    assert again is not None
    assert again.attempt == 1


def test_a_segment_is_handed_back_when_the_engine_is_closed(
    task: SegmentTask, ledger: Ledger, engine: Engine, spec: SpeechSpec
) -> None:
    ledger.admit("j", spec, plain(["abc"]))
    engine.close()
    task()
    again = ledger.claim(spec.model)
    assert again is not None
    assert again.attempt == 1


def test_a_segment_of_a_step_that_failed_gets_another_attempt(
    task: SegmentTask, ledger: Ledger, spec: SpeechSpec, redis: Redis
) -> None:
    ledger.admit("j", spec, plain(["bomb"]))
    task()
    assert ledger.job("j").status == Status.IN_PROGRESS
    end_leases(redis)
    assert ledger.reconcile() == [(spec.model, 1)]
    again = ledger.claim(spec.model)
    assert again is not None
    assert again.attempt == 2


def test_a_result_that_comes_too_late_is_dropped(
    task: SegmentTask, ledger: Ledger, runner: StubRunner, spec: SpeechSpec, redis: Redis
) -> None:
    ledger.admit("j", spec, plain(["abc", "de"]))
    runner.go.clear()
    late = threading.Thread(target=task, args=())
    late.start()
    wait_until(lambda: runner.rows)
    end_leases(redis)
    ledger.reconcile()
    new = ledger.claim(spec.model)
    assert new is not None
    assert new.index == 0
    ledger.commit(new, SegmentResult(key="new", samples=1))
    runner.go.set()
    late.join()
    job = ledger.job("j")
    assert (job.completed, job.samples, job.status) == (1, 1, Status.IN_PROGRESS)


def test_while_redis_is_away_the_message_is_let_go(
    task: SegmentTask, runner: StubRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_self: Ledger, _model: str) -> Claim | None:
        raise Unavailable("Redis does not answer")

    monkeypatch.setattr(Ledger, "claim", away)
    task()
    assert runner.admitted == []


def test_no_more_is_claimed_than_will_soon_be_spoken(
    task: SegmentTask, ledger: Ledger, redis: Redis, runner: StubRunner, spec: SpeechSpec
) -> None:
    ledger.admit("j", spec, plain(["a", "b", "c", "d"]))
    runner.go.clear()
    threads = [threading.Thread(target=task) for _ in range(4)]
    for thread in threads:
        thread.start()
    wait_until(lambda: redis.zcard("tts:leases") == 2)
    time.sleep(0.1)
    assert redis.zcard("tts:leases") == 2
    runner.go.set()
    for thread in threads:
        thread.join()
    assert ledger.job("j").status == Status.COMPLETED


def test_what_is_being_stored_takes_nobody_s_place(
    task: SegmentTask,
    ledger: Ledger,
    runner: StubRunner,
    spec: SpeechSpec,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stored = threading.Event()
    put = Storage.put

    def put_slowly(self: Storage, key: str, content: bytes | Path) -> None:
        assert stored.wait(10)
        put(self, key, content)

    monkeypatch.setattr(Storage, "put", put_slowly)
    ledger.admit("j", spec, plain(["a", "b", "c"]))
    threads = [threading.Thread(target=task) for _ in range(3)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(runner.admitted) == 3)
    stored.set()
    for thread in threads:
        thread.join()


def test_while_its_model_is_not_loaded_a_segment_is_not_claimed(
    task: SegmentTask, ledger: Ledger, redis: Redis, spec: SpeechSpec
) -> None:
    hold_engine = task.hold_engine
    task.hold_engine = lambda: nullcontext(EngineHold(None))
    ledger.admit("j", spec, plain(["a"]))
    for _ in range(5):
        task()  # nor is a permit kept, of which there are two
    assert (ledger.job("j").status, redis.zcard("tts:leases")) == (Status.QUEUED, 0)
    task.hold_engine = hold_engine
    task()
    assert ledger.job("j").status == Status.COMPLETED
    assert redis.hget("tts:segment:j:0", "attempts") == "1"


def test_the_engine_is_let_go_before_the_result_is_stored(
    task: SegmentTask,
    ledger: Ledger,
    engine: Engine,
    spec: SpeechSpec,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A model can be dropped while its last result waits for a storage that is away."""
    holds: list[str] = []

    @contextmanager
    def hold() -> Iterator[EngineHold]:
        holds.append("begin")
        yield EngineHold(engine)
        holds.append("end")

    def put(_storage: Storage, _key: str, _content: object) -> None:
        holds.append("put")

    task.hold_engine = hold
    monkeypatch.setattr(Storage, "put", put)
    ledger.admit("j", spec, plain(["a", "b"]))
    task()
    assert holds == ["begin", "end", "put"]


def test_a_worker_that_stops_claims_nothing(
    task: SegmentTask, ledger: Ledger, spec: SpeechSpec, stopping: threading.Event
) -> None:
    ledger.admit("j", spec, plain(["a"]))
    stopping.set()
    task()
    assert ledger.job("j").status == Status.QUEUED


@pytest.mark.parametrize(
    ("change", "seeds"),
    [
        ({"seed": 7}, [7, 8]),
        ({"seed": 2**32 - 1}, [2**32 - 1, 0]),
        ({}, [None, None]),
        ({"seed": 7, "sampling": {"max_new_tokens": 12}}, [7]),
        ({"seed": 7, "sampling": {"do_sample": False, "subtalker_dosample": False}}, [7]),
    ],
)
def test_a_speech_that_finds_no_end_has_one_more_seed_and_is_truncated(
    task: SegmentTask,
    ledger: Ledger,
    spec: SpeechSpec,
    runner: StubRunner,
    change: dict[str, Any],
    seeds: list[int | None],
) -> None:
    spec = SpeechSpec.model_validate(spec.model_dump() | change)
    ledger.admit("j", spec, plain(["runaway"]))
    task()
    assert [request.sampling.seed for request in runner.admitted] == seeds
    job = ledger.job("j")
    assert (job.status, job.truncated) == (Status.COMPLETED, 1)
    assert [segment.truncated for segment in ledger.spoken(job)] == [True]


def test_the_other_seed_finds_the_end(
    task: SegmentTask, ledger: Ledger, spec: SpeechSpec, runner: StubRunner
) -> None:
    runner.ends = {8}
    ledger.admit("j", spec.model_copy(update={"seed": 7}), plain(["runaway"]))
    task()
    assert ledger.job("j").truncated == 0


def test_a_live_segment_is_published_as_it_is_spoken(
    task: SegmentTask,
    ledger: Ledger,
    storage: Storage,
    redis_server: RedisServer,
    redis: Redis,
    spec: SpeechSpec,
) -> None:
    ledger.admit("j", spec.model_copy(update={"live": True}), plain(["abcdefghij"]))
    task()
    key = keys.live_audio("j:0")
    wait_until(lambda: redis.xlen(key) == 6)
    with Redis.from_url(redis_server.url) as undecoded:
        heard = [LiveChunk.of(fields) for _id, fields in undecoded.xrange(key)]
    assert [entry.at // 1_920 for entry in heard] == [0, 1, 2, 4, 8, 10]
    assert [entry.is_end for entry in heard] == [False] * 5 + [True]
    assert len({entry.epoch for entry in heard}) == 1
    result_key = ledger.job("j").result_key
    assert result_key is not None
    stored = decode_wav(storage.get(result_key))
    np.testing.assert_array_equal(np.concatenate([entry.pcm for entry in heard]), stored)
    assert 0 < redis.ttl(key) <= STREAM_TTL_S


def test_only_live_segments_are_published(
    task: SegmentTask, ledger: Ledger, redis: Redis, spec: SpeechSpec
) -> None:
    ledger.admit("j", spec, plain(["abcdefghij"]))
    task()
    assert ledger.job("j").status == Status.COMPLETED
    assert not redis.exists(keys.live_audio("j:0"))


def test_what_was_heard_is_not_said_again_with_another_seed(
    task: SegmentTask, ledger: Ledger, spec: SpeechSpec, runner: StubRunner
) -> None:
    ledger.admit("j", spec.model_copy(update={"live": True, "seed": 7}), plain(["runaway"]))
    task()
    assert [request.sampling.seed for request in runner.admitted] == [7]
    assert ledger.job("j").truncated == 1


def test_whoever_speaks_does_not_wait_for_a_redis_that_is_away(
    ledger: Ledger,
    spec: SpeechSpec,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live_publisher, "CLOSE_TIMEOUT_S", 0.1)
    nowhere = Redis(port=1)
    ledger.admit("j", spec, plain(["abc"]))
    claim = ledger.claim(spec.model)
    assert claim is not None
    away = LivePublisher(nowhere)
    segment = away.begin(claim)
    for _ in range(MAX_QUEUED_CHUNKS + 2):
        segment.add(np.ones(1, np.float32))
    assert "is dropped" in caplog.text
    away.close()
    nowhere.close()


@pytest.mark.parametrize("step", ["segment", "join"])
def test_a_storage_that_refuses_fails_the_job_with_the_reason(
    make_task: Callable[[Storage], SegmentTask],
    ledger: Ledger,
    redis: Redis,
    spec: SpeechSpec,
    s3: S3Server,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    step: str,
) -> None:
    """Of a bucket that is gone, the first attempts say so and the last one fails the job."""
    monkeypatch.setattr(retry, "REFUSAL_LIMIT_S", 0.0)
    for name, value in s3.env.items():
        monkeypatch.setenv(name, value)
    bucket = f"gone-{step}"
    s3.create_bucket(bucket)
    task = make_task(Storage.open(f"s3://{bucket}"))
    ledger.admit("j", spec, plain(["abc"]))
    if step == "segment":
        s3.delete_bucket(bucket)
    else:
        commit = ledger.commit

        def commit_and_lose(*args: Any, **kwargs: Any) -> Any:
            s3.delete_bucket(bucket)
            return commit(*args, **kwargs)

        monkeypatch.setattr(ledger, "commit", commit_and_lose)

    def has_ended() -> bool:
        task()
        ledger.reconcile()
        return ledger.job("j").status in TERMINAL

    wait_until(has_ended, 20)
    job = ledger.job("j")
    attempts = caplog.text.count("to another attempt: the storage refuses")
    assert attempts == ledger.max_attempts - 1
    assert (job.status, job.error_code) == (Status.FAILED, "storage_refused")
    assert "there is no such bucket" in (job.error_message or "")
    assert not redis.zcard("tts:leases")


def test_a_storage_that_refuses_for_a_moment_is_waited_for(
    make_task: Callable[[Storage], SegmentTask],
    ledger: Ledger,
    spec: SpeechSpec,
    s3: S3Server,
    runner: StubRunner,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3.env.items():
            patch.setenv(name, value)
        task = make_task(Storage.open("s3://made-late"))
    ledger.admit("j", spec, plain(["abc"]))
    patient = threading.Thread(target=task)
    patient.start()
    wait_until(lambda: caplog.text.count("Trying again") >= 2)
    assert ledger.job("j").completed == 0
    s3.create_bucket("made-late")
    patient.join(10)
    assert ledger.job("j").status == Status.COMPLETED
    assert len(runner.admitted) == 1
