"""The queues of a worker's models: which of them it consumes, and the task of a message."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping

from shared.broker import queue_name
from worker.model.pool import ModelPool
from worker.segment_task import SegmentTask


class ModelQueues:
    """The queue of each model, whose messages are the calls of that model's task.

    Of several, a queue is open while its model is loaded and fewer than `max_calls` of its messages
    are being worked on: a model whose queue is full takes no thread that another model needs. None
    is open while the worker is drained: it would take the messages of other workers.
    """

    def __init__(
        self,
        tasks: Mapping[str, SegmentTask],
        pool: ModelPool,
        max_calls: int,
        is_drained: Callable[[], bool] = lambda: False,
    ) -> None:
        self._tasks = {queue_name(model): task for model, task in tasks.items()}
        self._models = {queue_name(model): model for model in tasks}
        self._pool = pool
        self._max_calls = max_calls
        self._is_drained = is_drained
        self._calls: Counter[str] = Counter()
        self._lock = threading.Lock()

    @property
    def names(self) -> list[str]:
        """The names of all queues."""
        return list(self._tasks)

    @property
    def max_calls(self) -> int:
        """The number of messages that are worked on at once at the most."""
        return self._max_calls * len(self._tasks)

    def is_open(self, queue: str) -> bool:
        """True if the queue is to be consumed now."""
        if self._is_drained():
            return False
        if len(self._tasks) == 1:
            return True
        return self._calls[queue] < self._max_calls and self._pool.is_loaded(self._models[queue])

    def work(self, queue: str) -> None:
        """Do what a message from a queue asks for."""
        with self._lock:
            self._calls[queue] += 1
        try:
            self._tasks[queue]()
        finally:
            with self._lock:
                self._calls[queue] -= 1
