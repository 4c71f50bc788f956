"""The version of the data in Redis, which processes of two versions may share in an upgrade.

An upgrade one process at a time needs no more than this: a newer process reads what an older one
has written, an older one leaves jobs that it cannot read to others (`shared.jobs.JOB_VERSION`), and
one that is too old for what is there does not start.
"""

from __future__ import annotations

from redis import Redis

from shared.errors import Misconfigured
from shared.store.connection import redis_errors
from shared.store.scripts import load

# 1: jobs without a version. 2: admission in parts, expected frames, audio reserved of a quota.
LEDGER_VERSION = 2
# Raised when an older process would do harm to what this one writes.
OLDEST_LEDGER_VERSION = 1


def agree(redis: Redis, version: int = LEDGER_VERSION, oldest: int = OLDEST_LEDGER_VERSION) -> None:
    """Note which version uses this ledger; raises `Misconfigured` if it is too old for it.

    Raises `Unavailable` while Redis is away.
    """
    with redis_errors():
        allowed = int(redis.register_script(load("agree"))(args=[version, oldest]))
    if version < allowed:
        raise Misconfigured(
            f"the ledger in this Redis needs version {allowed} or newer, and this program is of "
            f"version {version}: install the version that the others have"
        )
