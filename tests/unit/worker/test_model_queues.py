"""A queue is consumed while its model is loaded, and not by more threads than it may have."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import cast

import pytest

from tests.support.processes import wait_until
from worker.model.pool import ModelPool
from worker.model_queues import ModelQueues
from worker.segment_task import SegmentTask


class FakePool:
    """A pool that only knows what is loaded."""

    def __init__(self) -> None:
        self.loaded = {"a", "b"}

    def is_loaded(self, model: str) -> bool:
        return model in self.loaded


@pytest.fixture
def pool() -> FakePool:
    return FakePool()


@pytest.fixture
def go() -> threading.Event:
    """Set when the task of `a` may end."""
    return threading.Event()


@pytest.fixture
def done() -> list[str]:
    return []


@pytest.fixture
def queues(pool: FakePool, go: threading.Event, done: list[str]) -> ModelQueues:
    def wait() -> None:
        assert go.wait(10)
        done.append("a")

    tasks: dict[str, Callable[[], None]] = {"a": wait, "b": lambda: done.append("b")}
    return ModelQueues(cast(dict[str, SegmentTask], tasks), cast(ModelPool, pool), max_calls=2)


def test_each_queue_has_the_task_of_its_model(
    queues: ModelQueues, go: threading.Event, done: list[str]
) -> None:
    assert queues.names == ["tts.a", "tts.b"]
    assert queues.max_calls == 4
    go.set()
    for name in ("tts.b", "tts.a"):
        queues.work(name)
    assert done == ["b", "a"]


def test_the_queue_of_a_model_that_is_not_loaded_is_closed(
    queues: ModelQueues, pool: FakePool
) -> None:
    pool.loaded.remove("a")
    assert [queues.is_open(name) for name in queues.names] == [False, True]


@pytest.mark.parametrize("models", [["a"], ["a", "b"]])
def test_a_drained_worker_takes_no_message_of_another(pool: FakePool, models: list[str]) -> None:
    is_drained = threading.Event()
    tasks = cast(dict[str, SegmentTask], dict.fromkeys(models, print))
    queues = ModelQueues(tasks, cast(ModelPool, pool), 2, is_drained=is_drained.is_set)
    assert all(map(queues.is_open, queues.names))
    is_drained.set()
    assert not any(map(queues.is_open, queues.names))


def test_a_model_with_much_to_do_takes_no_thread_of_another(
    queues: ModelQueues, go: threading.Event, done: list[str]
) -> None:
    threads = [threading.Thread(target=queues.work, args=("tts.a",)) for _ in range(2)]
    threads[0].start()
    assert queues.is_open("tts.a")
    threads[1].start()
    wait_until(lambda: not queues.is_open("tts.a"))
    assert queues.is_open("tts.b")
    queues.work("tts.b")
    assert done == ["b"]
    go.set()
    for thread in threads:
        thread.join(10)
    assert queues.is_open("tts.a")
