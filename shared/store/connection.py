"""The connections of every process to Redis, and the translation of its errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from redis import BlockingConnectionPool, Redis
from redis.asyncio import BlockingConnectionPool as AsyncPool
from redis.asyncio import Redis as AsyncRedis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError, RedisError, ResponseError
from redis.retry import Retry

from shared.errors import Unavailable
from shared.store.connection_classes import async_connection, connection
from shared.store.redis_address import RedisAddress

# At most 16 connections. A caller waits 0.25 s for a free one, so that a Redis outage fails fast.
MAX_CONNECTIONS, POOL_WAIT_S = 16, 0.25
# Each listener holds a connection while it waits; more than 256 listeners take turns.
MAX_LISTENER_CONNECTIONS = 256


def connect(url: str, *, answers_within_s: float = 5.0) -> Redis:
    """Open connections that give up on a Redis that is silent for `answers_within_s` seconds.

    Sends nothing yet. At most `MAX_CONNECTIONS` callers wait for a Redis that is away; every other
    one gets an error after `POOL_WAIT_S` seconds.
    """
    address = RedisAddress.parse(url)
    pool = BlockingConnectionPool(  # type: ignore[no-untyped-call]  # as redis-py has it
        **connection(address),
        max_connections=MAX_CONNECTIONS,
        timeout=POOL_WAIT_S,
        decode_responses=True,
        socket_timeout=answers_within_s,
        socket_connect_timeout=min(2.0, answers_within_s),
        health_check_interval=10,
        # A connection that broke while it was idle is no reason to fail; silence is.
        retry=Retry(NoBackoff(), 1, supported_errors=(ConnectionError,)),
    )
    return Redis.from_pool(pool)


def connect_briefly(redis: Redis, answers_within_s: float) -> Redis:
    """Connections to the same Redis that give up sooner."""
    pool = redis.connection_pool
    options = {
        **pool.connection_kwargs,
        "socket_timeout": answers_within_s,
        "socket_connect_timeout": answers_within_s,
    }
    brief = BlockingConnectionPool(  # type: ignore[no-untyped-call]  # not in its types
        MAX_CONNECTIONS, POOL_WAIT_S, connection_class=pool.connection_class, **options
    )
    return Redis.from_pool(brief)


def connect_listeners(url: str) -> AsyncRedis:
    """Open connections for listeners, which wait for entries of streams; sends nothing yet."""
    pool = AsyncPool(
        **async_connection(RedisAddress.parse(url)),
        max_connections=MAX_LISTENER_CONNECTIONS,
        timeout=2,
        socket_timeout=5,
        socket_connect_timeout=2,
    )
    return AsyncRedis.from_pool(pool)


def server_time_s(redis: Redis) -> float:
    """The time of Redis's clock in Unix seconds; raises `RedisError`."""
    seconds, micros = redis.time()
    return seconds + micros / 1e6


def older_than(redis: Redis, key: str, age_s: float, limit: int) -> list[str]:
    """Members of a sorted set of times that are older than `age_s` seconds, the oldest first."""
    with redis_errors():
        until = server_time_s(redis) - age_s
        ids = redis.zrange(key, "-inf", until, byscore=True, offset=0, num=limit)
    return cast(list[str], ids)


@contextmanager
def redis_errors() -> Iterator[None]:
    """Raise `Unavailable` for every error of Redis or of the way to it."""
    try:
        yield
    except ResponseError as error:
        raise Unavailable(f"Redis refuses ({error}); try again shortly") from error
    except RedisError as error:
        raise Unavailable(f"Redis does not answer ({error}); try again shortly") from error
