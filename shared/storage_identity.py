"""The storage that a Redis's jobs are in: its id lies in both, and has to be the same."""

from __future__ import annotations

import re
import secrets
from typing import cast

from redis import Redis
from redis.exceptions import RedisError

from shared.checks import Finding
from shared.errors import Misconfigured, Unavailable
from shared.storage import MARKER, Storage
from shared.store import keys
from shared.store.connection import redis_errors

PROBE = "storage.probe"
# A full disk may have room for less.
PROBE_BYTES = 4_096
ADVICE = "correct TTS_STORAGE_URL; for a storage that was moved or replaced, see docs/storage.md"
OTHER = f"this is not the storage that the jobs of this Redis are in: {ADVICE}"
EMPTY = (
    f"the storage has no {MARKER!r}, though the jobs of this Redis are in one: is its volume "
    f"mounted? Or {ADVICE}"
)
_USER = re.compile(r"//[^/@]*@")


def look_at_storage(storage: Storage, redis: Redis) -> Finding:
    """Compare the ids, then write a probe and read it; raises `Misconfigured` or `Unavailable`."""
    try:
        agree(storage, redis)
    except Unavailable as error:
        # Redis has a check of its own.
        if not isinstance(error.__cause__, RedisError) or storage.marker() is None:
            raise
    probe(storage)
    return Finding()


def probe(storage: Storage) -> None:
    """Write an object and read it; raises `Unavailable` or `StorageRefused`."""
    storage.put(PROBE, secrets.token_hex(PROBE_BYTES // 2).encode())
    # Perhaps another process has written its own meanwhile.
    if len(storage.get(PROBE)) != PROBE_BYTES:
        raise Unavailable("the storage does not keep what is written to it")


def has_storage(redis: Redis) -> bool:
    """True if Redis knows a storage; False of a new or emptied one."""
    return _known(redis) is not None


def compare(storage: Storage, redis: Redis) -> str | None:
    """The id that the storage and Redis have; None if Redis knows no storage. Changes nothing.

    Raises `Misconfigured` if Redis knows another storage than this one.
    """
    # In this order: an id that Redis has was in the storage before.
    known = _known(redis)
    if known is None:
        return None
    found = storage.marker()
    if found is None:
        raise Misconfigured(EMPTY)
    if found != known:
        raise Misconfigured(OTHER)
    return known


def agree(storage: Storage, redis: Redis) -> None:
    """Agree on one id; raises `Misconfigured` if Redis knows another storage than this one.

    A Redis that knows none takes the storage's, and a storage without one gets a new one.
    """
    if compare(storage, redis) is None:
        _claim(redis, _marked(storage))
        # Of two processes with storages of their own, one was first.
        compare(storage, redis)
    storage.expect_marker()


def adopt(storage: Storage, redis: Redis) -> str:
    """Let Redis take this storage for that of its jobs, whatever it was before; returns the id."""
    storage_id = _marked(storage)
    with redis_errors():
        redis.set(keys.STORAGE_ID, storage_id)
    return storage_id


def without_password(url: str) -> str:
    """A storage's URL as it may be shown."""
    return _USER.sub("//", url).partition("?")[0]


def _known(redis: Redis) -> str | None:
    with redis_errors():
        return cast("str | None", redis.get(keys.STORAGE_ID))


def _claim(redis: Redis, storage_id: str) -> None:
    """Let Redis take the id, unless another process was faster."""
    with redis_errors():
        redis.set(keys.STORAGE_ID, storage_id, nx=True)


def _marked(storage: Storage) -> str:
    """The id of the storage, which gets one if it has none."""
    if storage.marker() is None:
        storage.mark(secrets.token_hex(16))
    found = storage.marker()
    if found is None:
        raise Unavailable(f"the storage does not keep {MARKER!r}")
    return found
