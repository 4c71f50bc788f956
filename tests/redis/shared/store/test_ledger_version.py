from __future__ import annotations

from functools import partial

import pytest
from redis import Redis

from shared.checks import run_check
from shared.errors import Misconfigured
from shared.store.redis_state import LEDGER_VERSION, agree, look_at_redis


def test_versions_that_can_read_each_other_share_a_ledger(redis: Redis) -> None:
    agree(redis)
    agree(redis, LEDGER_VERSION + 1, LEDGER_VERSION)
    agree(redis)
    assert redis.hget("tts:ledger", "version") == str(LEDGER_VERSION + 1)


def test_a_process_that_is_too_old_is_told_so(redis: Redis) -> None:
    agree(redis, LEDGER_VERSION + 5, LEDGER_VERSION + 4)
    for version in (1, LEDGER_VERSION, LEDGER_VERSION + 3):
        with pytest.raises(Misconfigured, match=f"needs version {LEDGER_VERSION + 4} or newer"):
            agree(redis, version, 1)
    agree(redis, LEDGER_VERSION + 4, 1)
    assert redis.hget("tts:ledger", "oldest") == str(LEDGER_VERSION + 4)


def test_readiness_says_that_a_process_is_too_old(redis: Redis) -> None:
    agree(redis, LEDGER_VERSION + 5, LEDGER_VERSION + 4)
    found = run_check(partial(look_at_redis, redis, allow_eviction=False))
    assert found.is_lasting
    assert f"needs version {LEDGER_VERSION + 4}" in (found.problem or "")
