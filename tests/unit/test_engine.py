import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, Future, wait

import numpy as np
import pytest

from worker.engine.engine import Engine
from worker.engine.errors import Closed, QueueFull
from worker.engine.request import Sampling, Speech, SynthesisRequest, Task, Utterance
from worker.engine.scheduler import Scheduler

GREEDY = Sampling(do_sample=False, subtalker_dosample=False)


class StubRunner:
    """Speaks each text as as many frames as it has characters; "bad" texts break their batch."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.free = threading.Event()
        self.free.set()

    def run(self, requests: Sequence[SynthesisRequest]) -> list[Utterance]:
        self.free.wait(10)
        self.batches.append([request.text for request in requests])
        if "bad" in self.batches[-1]:
            raise ValueError("cannot speak that")
        return [speak(request.text) for request in requests]


def speak(text: str) -> Utterance:
    frames = len(text)
    codes = np.full((frames, 16), ord(text[0]), dtype=np.int64)
    return Utterance(np.zeros(frames * 1_920, dtype=np.float32), codes, "stop")


def request(
    text: str, sampling: Sampling = GREEDY, task: Task = Task.CUSTOM_VOICE
) -> SynthesisRequest:
    return SynthesisRequest(task=task, text=text, max_frames=100, sampling=sampling)


@pytest.fixture
def runner() -> StubRunner:
    return StubRunner()


@pytest.fixture
def engine(runner: StubRunner) -> Iterator[Engine]:
    engine = Engine(runner, slots=4, max_waiting=6, collect_s=0.05)
    yield engine
    runner.free.set()
    engine.close()


def results(futures: list[Future[Speech]]) -> list[str]:
    return [chr(future.result(10).codes[0, 0]) for future in futures]


def test_requests_share_batches_and_get_their_own_speech(
    engine: Engine, runner: StubRunner
) -> None:
    futures = [engine.submit(request(text)) for text in "abcdef"]
    assert results(futures) == list("abcdef")
    assert runner.batches == [["a", "b", "c", "d"], ["e", "f"]]
    assert [future.result().timings.batch_size for future in futures] == [4, 4, 4, 4, 2, 2]


def test_a_full_batch_does_not_wait_for_more(runner: StubRunner) -> None:
    engine = Engine(runner, slots=2, max_waiting=9, collect_s=30)
    began_s = time.monotonic()
    assert results([engine.submit(request(text)) for text in "ab"]) == ["a", "b"]
    assert time.monotonic() - began_s < 10
    engine.close()


def test_only_compatible_requests_share_a_batch(engine: Engine, runner: StubRunner) -> None:
    warm = Sampling(temperature=0.5)
    futures = [
        engine.submit(request("a")),
        engine.submit(request("b", warm)),
        engine.submit(request("c")),
        engine.submit(request("d", task=Task.VOICE_DESIGN)),
        engine.submit(request("e", warm)),
    ]
    assert results(futures) == list("abcde")
    assert runner.batches == [["a", "c"], ["b", "e"], ["d"]]


def test_a_seeded_request_that_samples_runs_alone(engine: Engine, runner: StubRunner) -> None:
    seeded = Sampling(seed=1)
    greedy = Sampling(do_sample=False, subtalker_dosample=False, seed=1)
    futures = [engine.submit(request(text, seeded)) for text in "ab"]
    futures += [engine.submit(request(text, greedy)) for text in "cd"]
    wait(futures, 10)
    assert runner.batches == [["a"], ["b"], ["c", "d"]]


def test_a_bad_request_fails_alone(engine: Engine) -> None:
    futures = [engine.submit(request(text)) for text in ("a", "bad", "c")]
    with pytest.raises(ValueError, match="cannot speak"):
        futures[1].result(10)
    assert results([futures[0], futures[2]]) == ["a", "c"]
    assert results([engine.submit(request("d"))]) == ["d"]


def test_a_request_cancelled_in_time_never_runs(engine: Engine, runner: StubRunner) -> None:
    runner.free.clear()
    futures = [engine.submit(request("a", Sampling(seed=1)))]
    doomed = request("b")
    future = engine.submit(doomed)
    doomed.cancelled.set()
    runner.free.set()
    with pytest.raises(CancelledError):
        future.result(10)
    assert results(futures) == ["a"]
    assert ["b"] not in runner.batches


def test_a_full_queue_pushes_back(engine: Engine, runner: StubRunner) -> None:
    runner.free.clear()
    first = engine.submit(request("x", Sampling(seed=1)))
    while not first.running():
        time.sleep(0.001)
    futures = [engine.submit(request(text)) for text in "abcdef"]
    with pytest.raises(QueueFull):
        engine.submit(request("g"))
    runner.free.set()
    assert results(futures) == list("abcdef")


def test_closing_finishes_what_was_taken_and_takes_no_more(runner: StubRunner) -> None:
    engine = Engine(runner, slots=2, max_waiting=9, collect_s=30)
    future = engine.submit(request("a"))
    engine.close()
    assert results([future]) == ["a"]
    with pytest.raises(Closed):
        engine.submit(request("b"))


def test_on_frames_gets_the_samples(engine: Engine) -> None:
    heard: list[int] = []
    spoken = SynthesisRequest(
        task=Task.CUSTOM_VOICE, text="abc", max_frames=9, on_frames=lambda s: heard.append(len(s))
    )
    engine.submit(spoken).result(10)
    assert heard == [3 * 1_920]


def test_a_callback_that_fails_fails_its_request_only(engine: Engine) -> None:
    def explode(_samples: object) -> None:
        raise OSError("nobody listens")

    spoken = SynthesisRequest(
        task=Task.CUSTOM_VOICE, text="a", max_frames=9, sampling=GREEDY, on_frames=explode
    )
    futures = [engine.submit(spoken), engine.submit(request("b"))]
    with pytest.raises(OSError, match="nobody listens"):
        futures[0].result(10)
    assert results([futures[1], engine.submit(request("c"))]) == ["b", "c"]


def test_the_scheduler_gives_nothing_once_closed_and_empty() -> None:
    scheduler = Scheduler(slots=1, max_waiting=1, collect_s=0)
    scheduler.close()
    assert scheduler.next_batch() == []


def test_a_batch_waits_while_others_keep_coming_but_not_for_ever(runner: StubRunner) -> None:
    engine = Engine(runner, slots=64, max_waiting=64, collect_s=0.1)
    futures = []
    for text in "abcdefghijklmnopqrst":
        futures.append(engine.submit(request(text)))
        time.sleep(0.07)
    assert results(futures) == list("abcdefghijklmnopqrst")
    engine.close()
    sizes = [len(batch) for batch in runner.batches]
    assert sum(sizes) == 20
    assert 5 < sizes[0] < 20
