"""The check of a deployment: its settings, Redis, storage, keys, clocks, workers and models."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from redis import Redis

from shared.checks import Finding, run_check
from shared.errors import Unavailable
from shared.settings import Settings
from shared.storage import Storage
from shared.storage_identity import compare, probe, without_password
from shared.store.api_keys import ApiKeys, KeyMark, Scope
from shared.store.connection import redis_errors, server_time_s
from shared.store.live_workers import LiveWorkers
from shared.store.pauses import paused_models
from shared.store.queue_figures import Memory
from shared.store.queue_state import QueueState
from shared.store.redis_state import look_at_redis
from shared.store.workers import WorkerRegistry

# Shares of Redis's memory, and seconds between two clocks, from which there is a warning.
FULL_SHARE = 0.8
MAX_CLOCK_DIFFERENCE_S = 2.0


class CheckedPart(NamedTuple):
    """A part of the deployment: what was found, and what is wrong with it."""

    name: str
    says: str
    finding: Finding


def check_all(settings: Settings, redis: Redis, storage: Storage) -> list[CheckedPart]:
    """Check every part; nothing of the deployment is changed but a probe's key and object."""
    looks: list[tuple[str, Callable[[], tuple[str, Finding]]]] = [
        ("redis", partial(_look_at_redis, settings, redis)),
        ("memory", partial(_look_at_memory, redis)),
        ("clock", partial(_look_at_clock, redis)),
        ("storage", partial(_look_at_storage, settings, redis, storage)),
        ("keys", partial(_look_at_keys, settings, redis, storage)),
        ("workers", partial(_look_at_workers, redis)),
        ("models", partial(_look_at_models, settings, redis)),
    ]
    return [_checked(name, look) for name, look in looks]


def _checked(name: str, look: Callable[[], tuple[str, Finding]]) -> CheckedPart:
    said = ""

    def find() -> Finding:
        nonlocal said
        said, finding = look()
        return finding

    return CheckedPart(name, finding=run_check(find), says=said)


def _look_at_redis(settings: Settings, redis: Redis) -> tuple[str, Finding]:
    finding = look_at_redis(redis, allow_eviction=settings.allow_eviction)
    info = _server_info(redis)
    name = "Valkey" if "valkey_version" in info else "Redis"
    version = info.get("valkey_version") or info.get("redis_version") or "of an unknown version"
    return f"{name} {version} can be written to and read", finding


def _look_at_memory(redis: Redis) -> tuple[str, Finding]:
    memory = Memory.read(redis)
    if memory is None:
        return "not known: INFO is not allowed", Finding()
    used, most = memory
    if not most:
        return f"{_mib(used)} used", Finding(
            warnings=("maxmemory is 0: at the machine's limit Redis is killed, not full",)
        )
    said = f"{_mib(used)} of {_mib(most)} used"
    if used < FULL_SHARE * most:
        return said, Finding()
    return said, Finding(warnings=("when it is full, jobs are refused: raise maxmemory",))


def _look_at_clock(redis: Redis) -> tuple[str, Finding]:
    began = time.time()
    with redis_errors():
        theirs = server_time_s(redis)
    difference_s = theirs - (began + time.time()) / 2
    said = f"Redis's clock is {abs(difference_s):.1f} s from this machine's"
    if abs(difference_s) < MAX_CLOCK_DIFFERENCE_S:
        return said, Finding()
    return said, Finding(warnings=("times in logs and answers differ: run NTP on both",))


def _look_at_storage(settings: Settings, redis: Redis, storage: Storage) -> tuple[str, Finding]:
    storage_id = compare(storage, redis)
    probe(storage)
    shown = without_password(settings.storage_url)
    if storage_id is None:
        return f"{shown} can be written to and read; no job was ever in it", Finding()
    return f"{shown} has the jobs (id {storage_id}), and can be written to and read", Finding()


def _look_at_keys(settings: Settings, redis: Redis, storage: Storage) -> tuple[str, Finding]:
    live = [key for key in ApiKeys(redis, KeyMark(storage)).all() if not key.revoked_at]
    if live:
        operators = sum(Scope.ADMIN in key.operator_scopes for key in live)
        said = f"{len(live)} keys, {operators} of them with the scope admin"
        if settings.auth == "required":
            return said, Finding()
        return said, Finding(warnings=("set TTS_AUTH=required: there are keys",))
    if settings.auth == "required":
        return "no key", Finding("every request needs a key, and there is none: make one")
    open_to = "all who reach it" if settings.auth == "open" else "this machine only"
    return f"no key: the API answers {open_to}", Finding()


def _look_at_workers(redis: Redis) -> tuple[str, Finding]:
    workers = LiveWorkers(redis).all()
    if not workers:
        return "none lives", Finding(warnings=("nothing is spoken until a worker starts",))
    versions = sorted({each.info.version if each.info else "an older one" for each in workers})
    storages = {each.info.storage for each in workers if each.info}
    warnings = []
    if len(versions) > 1:
        warnings.append("workers of several versions: finish the upgrade")
    if len(storages) > 1:
        warnings.append(f"workers name the storage differently: {', '.join(sorted(storages))}")
    return f"{len(workers)} live, of version {', '.join(versions)}", Finding(
        warnings=tuple(warnings)
    )


def _look_at_models(settings: Settings, redis: Redis) -> tuple[str, Finding]:
    known = WorkerRegistry(redis, model_ttl_s=settings.model_ttl_s).known()
    waiting, paused = QueueState.read(redis).queued, paused_models(redis)
    served = {model.card.id for model in known if model.workers}
    warnings = [
        f"segments wait for {model} ({count}), which no worker serves: python -m worker --model"
        f" {model}"
        for model, count in sorted(waiting.items())
        if model not in served
    ]
    warnings += [f"{model} is paused" for model in sorted(paused)]
    return f"{len(served)} served: {', '.join(sorted(served)) or 'none'}", Finding(
        warnings=tuple(warnings)
    )


def _server_info(redis: Redis) -> dict[str, Any]:
    """The section `server` of Redis's INFO; empty where it is not allowed."""
    try:
        with redis_errors():
            found: dict[str, Any] = redis.info("server")
    except Unavailable:
        return {}
    return found


def _mib(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"
