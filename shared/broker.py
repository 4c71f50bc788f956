"""Celery on Redis: the transport, the application and the publisher of wake-ups.

Messages are hints; the ledger is the truth. The settings were found by experiment with Celery 5.7;
docs/decisions/0003-celery-settings.md has the reasons. The transport is imported at the start, so
that a missing package is noticed then and not at the first message.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from typing import Any

from celery import Celery
from kombu.exceptions import KombuError
from kombu.transport import redis
from redis.exceptions import RedisError

from shared.background import BackgroundThread
from shared.store import keys
from shared.store.connection_classes import connection
from shared.store.redis_address import RedisAddress

SYNTHESISE_TASK = "worker.synthesise"
TCP_ONLY_PARAMS = ("socket_keepalive", "socket_keepalive_options")
# Messages per queue: more would wait unused, and reconciling finds segments without a message.
MAX_QUEUED_MESSAGES = 500
# Seconds to wait before a full queue is read again.
FULL_QUEUE_PAUSE_S = 0.05
_log = logging.getLogger(__name__)


class Channel(redis.Channel):
    """A channel to the server of the transport option `address`, as redis-py connects to it.

    kombu's own reading of URLs knows other parameters than redis-py's, and with `rediss` it does
    not verify certificates unless told to.
    """

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        client: Any = self.connection.client
        address: RedisAddress = client.transport_options["address"]
        options = connection(address)
        # kombu derives a class from this one for each channel.
        self.connection_class = options.pop("connection_class")
        params: dict[str, Any] = super()._connparams(asynchronous)  # type: ignore[misc]  # not in the stubs
        left_out = TCP_ONLY_PARAMS if address.is_socket else ()
        kept = {name: value for name, value in params.items() if name not in left_out}
        return kept | options


class Transport(redis.Transport):
    """The transport of publisher and consumer; its URL is for logs, and holds no password."""

    Channel = Channel
    can_parse_url = True
    # After any error reply of Redis, the connection is closed and opened again: the server may no
    # longer be the primary. kombu's own list lets such an error end the worker.
    connection_errors = (*redis.Transport.connection_errors, RedisError)


def queue_name(model: str) -> str:
    """The queue that workers of a model consume; `lua/reconcile.lua` uses the same name."""
    return keys.messages(model)


def make_celery_app(redis_url: str) -> Celery:
    """A Celery application on Redis, for a publisher and a worker alike."""
    address = RedisAddress.parse(redis_url)
    app = Celery("qwen-tts-queue", broker=address.broker_url)
    app.conf.update(
        broker_transport=f"{__name__}:{Transport.__name__}",
        task_acks_late=True,
        task_ignore_result=True,
        task_publish_retry_policy={"max_retries": 1},
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        result_backend_thread_safe=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_pool_acquire_timeout=2,
        broker_pool_limit=64,  # more than the API has threads, so that none waits for another
        broker_transport_options={
            "address": address,
            # kombu shares connections between applications whose options look the same.
            "account": address.fingerprint,
            "visibility_timeout": 30,
            "unacked_restore_interval": 2,
            "unacked_restore_throttle": 1,
            "unacked_mutex_expire": 5,
            "socket_timeout": 5,
            "socket_connect_timeout": 2,
            "socket_keepalive": True,
            "health_check_interval": 10,
        },
    )
    return app


class WakeUpPublisher:
    """Publishes one message for each waiting segment; each wakes one thread of a worker.

    It sends from a thread of its own, since a broker that is away blocks the sender. Messages that
    cannot be sent, or that a full queue does not need, are dropped: workers find those segments by
    reconciling.
    """

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._due: Counter[str] = Counter()
        self._changed = threading.Condition()
        self._closed = False
        self.thread = BackgroundThread("announcer", self._loop)
        self.thread.start()

    def publish(self, model: str, segments: int = 1) -> None:
        """Queue wake-ups for `segments` waiting segments of a model; returns without sending."""
        with self._changed:
            self._due[model] = min(self._due[model] + segments, MAX_QUEUED_MESSAGES)
            self._changed.notify()

    def close(self) -> None:
        """Send the due messages, unless the broker is away, and stop."""
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
                # The messages stay due, so that the thread fails again until they can be sent.
                for model, segments in due.items():
                    self.publish(model, segments)
                raise
            if not has_sent:
                stopping.wait(FULL_QUEUE_PAUSE_S)

    def _send(self, due: Counter[str]) -> bool:
        """Send the due messages; False if every queue was full."""
        sent = 0
        try:
            with self._app.producer_or_acquire() as producer:
                for model, segments in due.items():
                    queue = queue_name(model)
                    lacking = MAX_QUEUED_MESSAGES - producer.channel.client.llen(queue)
                    for _ in range(min(segments, lacking)):
                        self._app.send_task(SYNTHESISE_TASK, queue=queue, producer=producer)
                        sent += 1
        except (KombuError, OSError, RedisError) as error:
            _log.warning("Could not announce segments now, workers will find them: %s", error)
        return sent > 0
