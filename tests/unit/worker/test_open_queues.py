"""The queues that a consumer reads, of those that it may read."""

from __future__ import annotations

from worker.celery_transport import PROBE_KEY, OpenQueues


def test_closed_queues_are_left_out_and_the_others_take_turns() -> None:
    closed = {"b"}
    turns = OpenQueues(lambda queue: queue not in closed)
    turns.update(["a", "b", "c"])
    assert turns.consume(3) == ["a", "c"]
    assert not turns.are_all_open
    turns.rotate("a")
    assert turns.consume(3) == ["c", "a"]
    closed.clear()
    assert turns.are_all_open
    assert turns.consume(3) == ["b", "c", "a"]


def test_without_an_open_queue_a_key_is_asked_for_that_never_exists() -> None:
    turns = OpenQueues(lambda _queue: False)
    turns.update(["a"])
    assert turns.consume(1) == [PROBE_KEY]
    assert turns.rotate("other") == "other"
