"""Celery's Redis transport, in which no message can stop a worker."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

import kombu
from kombu.transport import redis, virtual
from redis.exceptions import RedisError

from shared import broker

# A key that never exists: deleting it fails unless Redis takes writes.
PROBE_KEY = "_kombu.probe"
# The transport option that says of a queue's name whether it is consumed now.
IS_OPEN_OPTION = "is_open"
# Seconds for which a consumer waits while it leaves a queue out, which may be opened meanwhile.
CLOSED_QUEUE_TIMEOUT_S = 0.1
_log = logging.getLogger(__name__)


class QoS(redis.QoS):
    """Acknowledges a message, and frees its slot even if that fails.

    With kombu's own, an acknowledgement while Redis is away raises before the slot is free, and
    the worker then lives on and consumes nothing (kombu 5.7).
    """

    # A restored message would be a superfluous wake-up: the ledger knows the segment.
    restore_at_shutdown = False

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge a message."""
        self._settle(delivery_tag, super().ack)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Reject a message."""
        self._settle(delivery_tag, lambda tag: super(QoS, self).reject(tag, requeue))

    def _settle(self, delivery_tag: str, settle: Callable[[str], Any]) -> None:
        try:
            settle(delivery_tag)
        except Exception as error:  # noqa: BLE001 - after any error the slot must be free
            _log.warning("A message was not acknowledged; it will come again: %s", error)
            virtual.QoS.ack(self, delivery_tag)


class OpenQueues:
    """The queues that are open, in turn, or a key that never exists if none is.

    Messages of a closed queue stay in it: if they were taken and dropped, reconciling would send
    them again, several hundred a second. The methods are those of kombu's `round_robin_cycle`.
    """

    def __init__(self, is_open: Callable[[str], bool]) -> None:
        self._is_open = is_open
        self._queues: list[str] = []

    @property
    def are_all_open(self) -> bool:
        """True if no queue is left out."""
        return all(map(self._is_open, self._queues))

    def update(self, queues: Iterable[str]) -> None:
        """Change to other queues."""
        self._queues = list(queues)

    def consume(self, _n: int) -> list[str]:
        """The names of the open queues, the one that is next first."""
        return list(filter(self._is_open, self._queues)) or [PROBE_KEY]

    def rotate(self, last_used: str) -> str:
        """Move the queue that was read last to the end."""
        if last_used in self._queues:
            self._queues.remove(last_used)
            self._queues.append(last_used)
        return last_used


class Channel(broker.Channel):
    """A channel with these acknowledgements; it drops a message that is not one of Celery's."""

    QoS = QoS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        client: Any = self.connection.client
        if is_open := client.transport_options.get(IS_OPEN_OPTION):
            self._queue_cycle = OpenQueues(is_open)

    def _brpop_start(self, timeout: float | None = None) -> None:
        queues = self._queue_cycle
        if isinstance(queues, OpenQueues) and not queues.are_all_open:
            timeout = CLOSED_QUEUE_TIMEOUT_S
        super()._brpop_start(timeout)  # type: ignore[misc]  # not in the stubs

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[misc]  # not in the stubs
        except (ValueError, TypeError, KeyError) as error:
            # With kombu's own, the worker would end.
            _log.warning("Dropped a message that no part of this service has sent: %r", error)
            return True


class Connection(kombu.Connection):
    """A connection that is retried once a second.

    Kombu's own pauses grow up to 30 s, while messages wait.
    """

    def _ensure_connection(self, *args: Any, **kwargs: Any) -> Any:
        once_a_second = {"interval_start": 1, "interval_step": 0, "interval_max": 1}
        return super()._ensure_connection(*args, **kwargs | once_a_second)


class Transport(broker.Transport):
    """The transport of a worker's consumer."""

    Channel = Channel

    def establish_connection(self) -> Any:
        """Connect to a server that takes writes; raises its error otherwise.

        kombu asks for a PING only, which a replica answers, too: the consumer would connect and
        lose the connection several times a second instead of trying again once.
        """
        connection: Any = super().establish_connection()
        try:
            connection._avail_channels[0].client.delete(PROBE_KEY)
        except RedisError:
            self.close_connection(connection)
            raise
        return connection
