"""The pairing of a Redis with the storage of its jobs: both hold one id, which must match."""

from __future__ import annotations

import re
import secrets
from typing import cast

from redis import Redis
from redis.exceptions import RedisError

from shared.checks import Finding
from shared.errors import Misconfigured, Unavailable
from shared.storage import MARKER_KEY, Storage
from shared.store import keys
from shared.store.connection import redis_errors

PROBE_KEY = "storage.probe"
# Large enough that a full disk is noticed.
PROBE_BYTES = 4_096
ADVICE = "correct TTS_STORAGE_URL; for a storage that was moved or replaced, see docs/storage.md"
OTHER_STORAGE_MESSAGE = f"this is not the storage that the jobs of this Redis are in: {ADVICE}"
EMPTY_STORAGE_MESSAGE = (
    f"the storage has no {MARKER_KEY!r}, though the jobs of this Redis are in one: is its volume "
    f"mounted? Or {ADVICE}"
)
_USER = re.compile(r"//[^/@]*@")


def look_at_storage(storage: Storage, redis: Redis) -> Finding:
    """Compare the ids, then write a probe and read it; raises `Misconfigured` or `Unavailable`."""
    try:
        agree(storage, redis)
    except Unavailable as error:
        # Redis being away is reported by its own check.
        if not isinstance(error.__cause__, RedisError) or storage.marker() is None:
            raise
    probe(storage)
    return Finding()


def probe(storage: Storage) -> None:
    """Write an object and read it; raises `Unavailable` or `StorageRefused`."""
    storage.put(PROBE_KEY, secrets.token_hex(PROBE_BYTES // 2).encode())
    # Only the length: another process may have written its own probe meanwhile.
    if len(storage.get(PROBE_KEY)) != PROBE_BYTES:
        raise Unavailable("the storage does not keep what is written to it")


def has_storage(redis: Redis) -> bool:
    """True if Redis knows a storage; False of a new or emptied one."""
    return _known(redis) is not None


def compare(storage: Storage, redis: Redis) -> str | None:
    """The id that the storage and Redis have; None if Redis knows no storage. Changes nothing.

    Raises `Misconfigured` if Redis knows another storage than this one.
    """
    # In this order: an id is written to the storage before it is written to Redis.
    known = _known(redis)
    if known is None:
        return None
    found = storage.marker()
    if found is None:
        raise Misconfigured(EMPTY_STORAGE_MESSAGE)
    if found != known:
        raise Misconfigured(OTHER_STORAGE_MESSAGE)
    return known


def agree(storage: Storage, redis: Redis) -> None:
    """Agree on one id; raises `Misconfigured` if Redis knows another storage than this one.

    A Redis without an id takes the storage's; a storage without one gets a new id.
    """
    if compare(storage, redis) is None:
        storage_id = _ensure_marked(storage)
        with redis_errors():
            redis.set(keys.STORAGE_ID, storage_id, nx=True)
        # If two processes with different storages start together, only one has set its id.
        compare(storage, redis)
    storage.expect_marker()


def adopt(storage: Storage, redis: Redis) -> str:
    """Pair Redis with this storage, replacing any earlier pairing; returns the id."""
    storage_id = _ensure_marked(storage)
    with redis_errors():
        redis.set(keys.STORAGE_ID, storage_id)
    return storage_id


def without_password(url: str) -> str:
    """A storage's URL without its user, password and query."""
    return _USER.sub("//", url).partition("?")[0]


def _known(redis: Redis) -> str | None:
    with redis_errors():
        return cast("str | None", redis.get(keys.STORAGE_ID))


def _ensure_marked(storage: Storage) -> str:
    """The id of the storage; one without an id gets a new one."""
    if storage.marker() is None:
        storage.mark(secrets.token_hex(16))
    found = storage.marker()
    if found is None:
        raise Unavailable(f"the storage does not keep {MARKER_KEY!r}")
    return found
