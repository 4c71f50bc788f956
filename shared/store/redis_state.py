"""The check of Redis: it must be writable, keep what it accepts, and be of a known version."""

from __future__ import annotations

import secrets
from typing import Any

from redis import Redis
from redis.exceptions import NoPermissionError

from shared.checks import Finding
from shared.errors import Misconfigured, Unavailable
from shared.store import keys
from shared.store.connection import redis_errors
from shared.store.scripts import Steps

# 1: jobs without a version. 2: admission in parts, expected frames, audio reserved of a quota.
#
# An upgrade one process at a time needs no more than this: a newer process reads what an older one
# has written, an older one leaves jobs that it cannot read to others (`shared.jobs.JOB_VERSION`),
# and one that is too old for what is there does not start.
LEDGER_VERSION = 2
# Raised when an older process would do harm to what this one writes.
OLDEST_LEDGER_VERSION = 1
PROBE_TTL_S = 60
OLDEST_REDIS_VERSION = (7, 0)  # steps in Lua carry flags
EVICTION_MESSAGE = (
    "Redis may evict accepted jobs (maxmemory-policy {}): set it to noeviction, or "
    "TTS_ALLOW_EVICTION=1 to lose some"
)
NO_AOF_MESSAGE = "Redis keeps no append-only file (appendonly no): its restart loses accepted jobs"
REPLICA_MESSAGE = "Redis is a read-only replica: TTS_REDIS_URL has to name the primary"
CLUSTER_MESSAGE = (
    "this is a Redis Cluster, which cannot hold the queue: use one Redis, or a primary"
)
NO_INFO_MESSAGE = "Redis allows no INFO: whether it evicts jobs or keeps them on disk is not known"


def look_at_redis(redis: Redis, *, allow_eviction: bool) -> Finding:
    """Read how Redis is set up, then write and read a probe; raises `Unavailable`.

    Raises `Misconfigured` if what is in it is of a version that this program cannot work with.
    """
    found = _look_at_setup(redis, allow_eviction=allow_eviction)
    if found.is_lasting:
        return found  # before the probe, which a node of a cluster may refuse
    _probe(redis)
    if not found.problem:
        agree(redis)
    return found


def agree(redis: Redis, version: int = LEDGER_VERSION, oldest: int = OLDEST_LEDGER_VERSION) -> None:
    """Note which version uses this ledger; raises `Misconfigured` if it is too old for it.

    Raises `Unavailable` while Redis is away.
    """
    allowed = int(Steps(redis).run("agree", version, oldest))
    if version < allowed:
        raise Misconfigured(
            f"the ledger in this Redis needs version {allowed} or newer, and this program is of "
            f"version {version}: install the version that the others have"
        )


def finding_of(info: dict[str, Any], *, allow_eviction: bool) -> Finding:
    """The finding that the answer of `INFO` stands for."""
    policy = info.get("maxmemory_policy", "noeviction")
    eviction = None if policy == "noeviction" else EVICTION_MESSAGE.format(policy)
    # Valkey names the Redis that it is like.
    version = str(info.get("redis_version", "")).split(".")[:2]
    if all(part.isdigit() for part in version) and tuple(map(int, version)) < OLDEST_REDIS_VERSION:
        too_old = f"Redis {'.'.join(version)} is too old: 7.0 or newer is needed"
        return Finding(too_old, is_lasting=True)
    if int(info.get("cluster_enabled", 0)):
        return Finding(CLUSTER_MESSAGE, is_lasting=True)
    if eviction and not allow_eviction:
        return Finding(eviction, is_lasting=True)
    aof = NO_AOF_MESSAGE if not info.get("aof_enabled") else None
    warnings = tuple(filter(None, (eviction, aof)))
    return Finding(REPLICA_MESSAGE if info.get("role") == "slave" else None, warnings)


def _look_at_setup(redis: Redis, *, allow_eviction: bool) -> Finding:
    try:
        with redis_errors():
            info: dict[str, Any] = redis.info()
    except Unavailable as error:
        if isinstance(error.__cause__, NoPermissionError):
            return Finding(warnings=(NO_INFO_MESSAGE,))
        raise
    return finding_of(info, allow_eviction=allow_eviction)


def _probe(redis: Redis) -> None:
    """Raise `Unavailable` with Redis's reason if it cannot be written to."""
    written = secrets.token_hex(8)
    with redis_errors(), redis.pipeline() as pipe:
        pipe.set(keys.PROBE, written, ex=PROBE_TTL_S)
        pipe.get(keys.PROBE)
        _, read = pipe.execute()
    if read != written:
        raise Unavailable("Redis does not keep what is written to it")
