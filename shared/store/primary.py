"""The primary of a service that Sentinels watch."""

from __future__ import annotations

from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError, RedisError
from redis.retry import Retry

from shared.store.redis_address import RedisAddress, host_and_port

# A Sentinel that says nothing for so long is passed over; three take less than the API waits.
SENTINEL_TIMEOUT_S = 0.5


class PrimaryNotFound(ConnectionError):
    """Raised when no Sentinel knows a primary that is up, as in the middle of a failover."""


class PrimaryFinder:
    """Asks the Sentinels of an address for the primary; for use by many threads.

    Each question has a connection of its own, which is closed after it: connections to Redis are
    kept for long, so questions are rare.
    """

    def __init__(self, address: RedisAddress) -> None:
        self._address = address
        self._first = 0

    def find(self) -> tuple[str, int]:
        """The primary's host and port; raises `PrimaryNotFound`."""
        sentinels, reasons = self._address.sentinels, []
        for index in range(self._first, self._first + len(sentinels)):
            sentinel = sentinels[index % len(sentinels)]
            try:
                state = self._ask(*sentinel)
            except RedisError as error:
                reasons.append(f"{host_and_port(*sentinel)}: {error}")
                continue
            if state["is_master"] and not (state["is_sdown"] or state["is_odown"]):
                self._first = index % len(sentinels)  # one that is down is not asked first again
                return str(state["ip"]), int(state["port"])
            reasons.append(f"{host_and_port(*sentinel)}: it is down")
        raise PrimaryNotFound(
            f"no Sentinel names a primary of {self._address.service!r} ({'; '.join(reasons)})"
        )

    def _ask(self, host: str, port: int) -> dict[str, Any]:
        """The state of the service's primary, as one Sentinel sees it; raises `RedisError`."""
        with Redis(
            host,
            port,
            socket_timeout=SENTINEL_TIMEOUT_S,
            socket_connect_timeout=SENTINEL_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),  # the next Sentinel is asked instead
            decode_responses=True,
            **self._address.sentinel_options(),
        ) as sentinel:
            state: dict[str, Any] = sentinel.sentinel_master(self._address.service)
            return state
