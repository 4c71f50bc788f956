"""Telling workers that segments wait: hints, sent by a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections import Counter

from celery import Celery
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from shared.background import BackgroundThread
from shared.queue import SYNTHESISE, queue_name

# Messages of a model: more would only lie there, and what is missing is found by reconciling.
MAX_QUEUED_MESSAGES = 500
# When there are enough, there is no hurry to look again.
FULL_QUEUE_PAUSE_S = 0.05
_log = logging.getLogger(__name__)


class WakeUpPublisher:
    """Sends one message for each waiting segment, which wakes one thread of a worker.

    A thread of its own, since a broker that is away holds up whoever talks to it; what cannot be
    sent is forgotten, and the workers find it by reconciling. So they do with what is not sent
    because there are messages enough to keep them awake until then.
    """

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._due: Counter[str] = Counter()
        self._changed = threading.Condition()
        self._closed = False
        self.thread = BackgroundThread("announcer", self._loop)
        self.thread.start()

    def announce(self, model: str, segments: int = 1) -> None:
        """Say that so many segments more wait for a model; returns at once."""
        with self._changed:
            self._due[model] = min(self._due[model] + segments, MAX_QUEUED_MESSAGES)
            self._changed.notify()

    def close(self) -> None:
        """Send what is due, unless the broker is away, and stop."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self.thread.stop(timeout_s=2)

    def _loop(self, stopping: threading.Event) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._due or self._closed)
                due, self._due = self._due, Counter()
                if not due:
                    return
            try:
                has_sent = self._send(due)
            except BaseException:
                # So that the thread fails again as long as nothing can be sent.
                for model, segments in due.items():
                    self.announce(model, segments)
                raise
            if not has_sent:
                stopping.wait(FULL_QUEUE_PAUSE_S)

    def _send(self, due: Counter[str]) -> bool:
        """Send what is due; False if the queue had messages enough."""
        sent = 0
        try:
            with self._app.producer_or_acquire() as producer:
                for model, segments in due.items():
                    queue = queue_name(model)
                    lacking = MAX_QUEUED_MESSAGES - producer.channel.client.llen(queue)
                    for _ in range(min(segments, lacking)):
                        self._app.send_task(SYNTHESISE, queue=queue, producer=producer)
                        sent += 1
        except (KombuError, OSError, RedisError) as error:
            _log.warning("Could not announce segments now, workers will find them: %s", error)
        return sent > 0
