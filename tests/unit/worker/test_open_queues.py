"""The queues that a consumer reads, of those that it may read."""

from __future__ import annotations

from worker.celery_transport import PROBE_KEY, OpenQueues


def test_closed_queues_are_left_out_and_the_others_take_turns() -> None:
    closed = {"b"}
    queues = OpenQueues(lambda queue: queue not in closed)
    queues.update(["a", "b", "c"])
    assert queues.consume(3) == ["a", "c"]
    assert not queues.are_all_open
    queues.rotate("a")
    assert queues.consume(3) == ["c", "a"]
    closed.clear()
    assert queues.are_all_open
    assert queues.consume(3) == ["b", "c", "a"]


def test_without_an_open_queue_a_key_is_asked_for_that_never_exists() -> None:
    queues = OpenQueues(lambda _queue: False)
    queues.update(["a"])
    assert queues.consume(1) == [PROBE_KEY]
    assert queues.rotate("other") == "other"
