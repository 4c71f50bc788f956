import itertools
import threading
from concurrent.futures import CancelledError, Future, wait
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.speech_model import Task
from tests.support.processes import wait_until
from tests.support.stub_runner import StubCodec, StubRunner
from worker.engine.compute_thread import ComputeThread
from worker.engine.engine import Engine
from worker.engine.errors import Closed, QueueFull, StepFailed
from worker.engine.request import Reference, Samples, Speech, SynthesisRequest
from worker.engine.vocoder import REFERENCE_CHUNKS_PER_STEP


def request(text: str, max_frames: int = 100) -> SynthesisRequest:
    return SynthesisRequest(task=Task.CUSTOM_VOICE, text=text, max_frames=max_frames)


def said(future: Future[Speech]) -> str:
    return "".join(chr(code) for code in future.result(10).codes[:, 0])


def test_requests_join_and_leave_between_steps(runner: StubRunner) -> None:
    runner.go.clear()
    engine = Engine(runner, StubCodec(), slots=3, max_waiting=9)
    texts = ["abcdefgh", "ij", "k", "lmn", "o"]
    futures = [engine.submit(request(text)) for text in texts]
    runner.go.set()
    assert [said(future) for future in futures] == texts
    engine.close()
    assert max(map(len, runner.seen)) == 3
    # The long one ran all along, and the waiting ones took the rows that came free.
    assert sum("abcdefgh" in rows for rows in runner.seen) == 8
    assert len(runner.seen) < sum(map(len, texts))


def test_newcomers_are_admitted_one_a_step_while_others_run(runner: StubRunner) -> None:
    runner.go.clear()
    engine = Engine(runner, StubCodec(), slots=8, max_waiting=9)
    futures = [engine.submit(request("a" * 20))]
    wait_until(lambda: runner.rows)
    futures += [engine.submit(request("b" * 5)) for _ in range(4)]
    runner.go.set()
    for future in futures:
        future.result(10)
    engine.close()
    counts = [len(rows) for rows in runner.seen]
    assert max(after - before for before, after in itertools.pairwise(counts)) <= 1
    assert futures[0].result().timings.batch_size > 1


def test_a_speech_is_cut_at_its_bound_and_says_so(engine: Engine) -> None:
    speech = engine.submit(request("abcdef", max_frames=3)).result(10)
    assert (len(speech.codes), speech.finish_reason) == (3, "length")
    assert len(speech.samples) == 3 * 1_920
    assert engine.submit(request("abc", max_frames=3)).result(10).finish_reason == "stop"


def test_a_bad_request_fails_alone(engine: Engine) -> None:
    futures = [engine.submit(request(text)) for text in ("abc", "bad", "def")]
    with pytest.raises(ValueError, match="no voice"):
        futures[1].result(10)
    assert [said(futures[0]), said(futures[2])] == ["abc", "def"]


def test_a_step_that_fails_fails_its_requests_and_the_engine_goes_on(
    engine: Engine, runner: StubRunner
) -> None:
    runner.go.clear()
    futures = [engine.submit(request(text)) for text in ("abc", "bomb")]
    runner.go.set()
    with pytest.raises(StepFailed, match="RuntimeError: out of memory"):
        futures[1].result(10)
    assert said(engine.submit(request("def"))) == "def"


def test_a_request_cancelled_in_time_never_runs(engine: Engine, runner: StubRunner) -> None:
    runner.go.clear()
    futures = [engine.submit(request("abc")) for _ in range(4)]
    wait_until(lambda: runner.rows)
    doomed = request("never")
    future = engine.submit(doomed)
    doomed.cancelled.set()
    runner.go.set()
    with pytest.raises(CancelledError):
        future.result(10)
    assert [said(other) for other in futures] == ["abc"] * 4
    assert doomed not in runner.admitted


def test_a_running_request_that_is_cancelled_frees_its_row(
    engine: Engine, runner: StubRunner
) -> None:
    runner.go.clear()
    long = request("a" * 90)
    future = engine.submit(long)
    wait_until(lambda: runner.rows)
    long.cancelled.set()
    runner.go.set()
    with pytest.raises(CancelledError):
        future.result(10)
    assert runner.rows == []


def test_an_engine_that_breaks_fails_all_it_has_and_takes_no_more(
    engine: Engine, runner: StubRunner
) -> None:
    runner.go.clear()
    futures = [engine.submit(request(text)) for text in ("a" * 50, "b" * 50, "wreck", "d", "e")]
    runner.go.set()
    for future in futures[:3]:
        with pytest.raises(StepFailed, match="in disorder"):
            future.result(10)
    wait(futures, 10)
    wait_until(lambda: not engine.is_alive)
    with pytest.raises(Closed):
        engine.submit(request("f"))


def test_a_full_queue_pushes_back(engine: Engine, runner: StubRunner) -> None:
    runner.go.clear()
    futures = [engine.submit(request("a"))]
    wait_until(lambda: runner.rows)
    futures += [engine.submit(request("b")) for _ in range(6)]
    with pytest.raises(QueueFull):
        engine.submit(request("c"))
    runner.go.set()
    assert [said(future) for future in futures] == ["a"] + ["b"] * 6


def test_closing_finishes_what_was_taken_and_takes_no_more(runner: StubRunner) -> None:
    engine = Engine(runner, StubCodec(), slots=2, max_waiting=9)
    futures = [engine.submit(request(text)) for text in ("abc", "de", "f")]
    engine.close()
    assert [said(future) for future in futures] == ["abc", "de", "f"]
    with pytest.raises(Closed):
        engine.submit(request("g"))
    assert not [t for t in threading.enumerate() if t.name.startswith(("engine", "codec"))]


def test_a_callback_that_fails_fails_its_request_only(engine: Engine) -> None:
    heard: list[int] = []

    def listen(samples: Samples) -> None:
        heard.append(len(samples))
        raise OSError("nobody listens")

    spoken = SynthesisRequest(task=Task.CUSTOM_VOICE, text="abc", max_frames=9, on_frames=listen)
    futures = [engine.submit(spoken), engine.submit(request("b"))]
    with pytest.raises(OSError, match="nobody listens"):
        futures[0].result(10)
    assert said(futures[1]) == "b"
    assert heard == [1_920]


def test_sound_comes_while_the_rest_is_spoken(engine: Engine, runner: StubRunner) -> None:
    runner.go.clear()
    heard: list[tuple[int, int]] = []

    def listen(samples: Samples) -> None:
        heard.append((len(samples) // 1_920, len(runner.rows[0].frames) if runner.rows else 0))

    spoken = SynthesisRequest(
        task=Task.CUSTOM_VOICE, text="abcdefghij", max_frames=99, on_frames=listen
    )
    future = engine.submit(spoken)
    runner.go.set()
    speech = future.result(10)
    assert [count for count, _ in heard] == [1, 1, 2, 4, 2]
    assert [spoken for _, spoken in heard[:4]] == [1, 2, 4, 8]  # no more was spoken yet
    assert len(speech.samples) == 10 * 1_920
    assert [round(level * 32_767) for level in speech.samples[::1_920]] == list(b"abcdefghij")


def test_the_codec_keeps_up_and_takes_no_more_than_its_share(runner: StubRunner) -> None:
    runner.go.clear()
    codec = StubCodec()
    engine = Engine(runner, codec, slots=8, max_waiting=9)
    futures = [engine.submit(request("a" * 40)) for _ in range(8)]
    runner.go.set()
    for future in futures:
        future.result(10)
    engine.close()
    assert max(len(codes) for codes in codec.decoded) <= 1 + 8 // 4
    assert sum(len(codes) for codes in codec.decoded) == 8 * 10


def clone(text: str, chunks: int) -> SynthesisRequest:
    heard = Reference("r", np.zeros(chunks, dtype=np.float32), 24_000, "said")
    return SynthesisRequest(Task.VOICE_CLONE, text, max_frames=100, reference=heard)


def test_a_long_reference_is_heard_between_the_steps_of_others(runner: StubRunner) -> None:
    codec = StubCodec()
    engine = Engine(runner, codec, slots=4, max_waiting=6)
    gaps: list[int] = []
    speaking = replace(request("a" * 100), on_frames=lambda _samples: gaps.append(codec.heard))
    runner.go.clear()
    futures = [engine.submit(speaking), engine.submit(clone("abcdefghi", 12))]
    runner.go.set()
    assert [said(future) for future in futures] == ["a" * 100, "abcdefghi"]
    engine.close()
    assert codec.heard == 12
    heard = [after - before for before, after in itertools.pairwise([0, *gaps])]
    assert max(heard) <= 4 * REFERENCE_CHUNKS_PER_STEP  # a chunk of sound comes every 4 steps


def test_a_reference_that_cannot_be_heard_fails_its_own(engine: Engine) -> None:
    futures = [engine.submit(one) for one in (clone("abcdef", 20), request("abc"))]
    with pytest.raises(StepFailed, match="unlucky"):
        futures[0].result(10)
    assert said(futures[1]) == "abc"
    assert said(engine.submit(clone("def", 12))) == "def"


def test_what_the_codec_cannot_decode_fails_and_the_engine_goes_on(engine: Engine) -> None:
    with pytest.raises(StepFailed, match="RuntimeError: no such sound"):
        engine.submit(request("ab~")).result(10)
    assert said(engine.submit(request("def"))) == "def"


def test_what_cannot_be_prepared_fails_alone(engine: Engine) -> None:
    futures = [engine.submit(request(text)) for text in ("abc", "deaf")]
    with pytest.raises(ValueError, match="nothing to hear"):
        futures[1].result(10)
    assert said(futures[0]) == "abc"


def test_a_long_prompt_is_read_between_the_steps_of_others(
    engine: Engine, runner: StubRunner
) -> None:
    runner.go.clear()
    first = engine.submit(request("a" * 12))
    wait_until(lambda: runner.rows)
    second = engine.submit(request("b+++++"))
    runner.go.set()
    assert (said(first), said(second)) == ("a" * 12, "b+++++")
    alone = next(i for i, rows in enumerate(runner.seen) if len(rows) == 2)
    assert alone >= 5  # one step for each part


def test_a_prompt_that_is_half_read_when_the_others_end_is_still_spoken(
    engine: Engine, runner: StubRunner
) -> None:
    runner.go.clear()
    first = engine.submit(request("a"))
    wait_until(lambda: runner.rows)
    second = engine.submit(request("b+++++++"))
    runner.go.set()
    assert (said(first), said(second)) == ("a", "b+++++++")


@given(st.lists(st.integers(1, 12), min_size=1, max_size=30), st.integers(1, 5))
def test_whatever_the_lengths_each_gets_its_own(lengths: list[int], slots: int) -> None:
    runner = StubRunner()
    engine = Engine(runner, StubCodec(), slots=slots, max_waiting=30)
    texts = [chr(97 + i % 26) * length for i, length in enumerate(lengths)]
    futures = [engine.submit(request(text)) for text in texts]
    assert [said(future) for future in futures] == texts
    engine.close()
    assert max(map(len, runner.seen)) <= slots


def test_engines_that_share_a_thread_take_turns(runner: StubRunner) -> None:
    thread, other = ComputeThread(), StubRunner()
    runner.go.clear()
    first, second = (
        Engine(one, StubCodec(), slots=1, max_waiting=2, thread=thread) for one in (runner, other)
    )
    long = first.submit(request("a" * 40))
    wait_until(lambda: runner.rows)
    heard: list[int] = []
    listened = replace(request("bcd"), on_frames=lambda _: heard.append(len(runner.seen)))
    short = second.submit(listened)
    assert len([t for t in threading.enumerate() if t.name == "engine"]) == 1
    runner.go.set()
    assert said(short) == "bcd"
    assert max(heard) < 10  # the long one was not waited for
    assert said(long) == "a" * 40
    second.close()
    assert (first.is_alive, second.is_alive) == (True, False)
    assert said(first.submit(request("e"))) == "e"
    first.close()
    again = Engine(StubRunner(), StubCodec(), slots=1, max_waiting=1, thread=thread)
    assert said(again.submit(request("f"))) == "f"
    again.close()
    assert not [t for t in threading.enumerate() if t.name == "engine"]


def test_an_engine_that_breaks_leaves_the_thread_to_the_others(runner: StubRunner) -> None:
    thread = ComputeThread()
    broken, whole = (
        Engine(one, StubCodec(), slots=2, max_waiting=2, thread=thread)
        for one in (runner, StubRunner())
    )
    runner.go.clear()
    futures = [broken.submit(request(text)) for text in ("a" * 50, "wreck")]
    runner.go.set()
    wait(futures, 10)
    wait_until(lambda: not broken.is_alive)
    assert broken.stalled_s == 0.0
    assert said(whole.submit(request("abc"))) == "abc"
    broken.close()
    whole.close()
