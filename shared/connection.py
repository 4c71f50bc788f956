"""How every process connects to Redis, and the one place where its errors become ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from redis import Redis
from redis.exceptions import RedisError

from shared.errors import Unavailable


def connect(url: str) -> Redis:
    """Open a connection pool that gives up on a silent Redis within seconds; sends nothing yet."""
    return Redis.from_url(
        url,
        decode_responses=True,
        socket_timeout=5,
        socket_connect_timeout=2,
        socket_keepalive=True,
        health_check_interval=10,
    )


@contextmanager
def redis_errors() -> Iterator[None]:
    """Raise `Unavailable` for whatever goes wrong between us and Redis."""
    try:
        yield
    except RedisError as error:
        raise Unavailable(f"Redis does not answer ({error}); try again shortly") from error
