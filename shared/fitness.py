"""The checks of every process: at its start, and while it runs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from redis import Redis

from shared.checks import Check, Finding, run_check
from shared.errors import Misconfigured, StorageRefused, Unavailable
from shared.settings import Settings
from shared.storage import Storage
from shared.storage_identity import look_at_storage, without_password
from shared.store.connection import connect
from shared.store.redis_state import look_at_redis
from shared.store.workers import WorkerRegistry

REDIS_TIMEOUT_S = 2.0
_log = logging.getLogger(__name__)


class HealthChecks:
    """Background checks of Redis and of the storage, over connections of their own."""

    def __init__(
        self, settings: Settings, storage: Storage, *, redis_every_s: float, storage_every_s: float
    ) -> None:
        self._redis = connect(settings.redis_url, answers_within_s=REDIS_TIMEOUT_S)
        looks = _looks(settings, storage, self._redis)
        self._registry = WorkerRegistry(self._redis)
        self._look_at_redis = looks["redis"]
        self.workers = 0
        self.redis = Check("redis", self._look_at_redis_and_workers, every_s=redis_every_s)
        self.storage = Check("storage", looks["storage"], every_s=storage_every_s)

    @property
    def checks(self) -> tuple[Check, ...]:
        """The checks of Redis and of the storage."""
        return self.redis, self.storage

    def start(self) -> None:
        """Begin to look."""
        for check in self.checks:
            check.start()

    def stop(self) -> None:
        """Stop, and close the connections."""
        for check in self.checks:
            check.stop()
        self._redis.close()

    def wait(self, within_s: float) -> None:
        """Return once each was checked, or after `within_s` seconds."""
        for check in self.checks:
            check.wait(within_s)

    def _look_at_redis_and_workers(self) -> Finding:
        found = self._look_at_redis()
        self.workers = len(self._registry.workers())
        return found

    @property
    def has_wrong_storage(self) -> bool:
        """True while the storage is not that of the jobs: results would be lost in it."""
        return self.storage.last.is_lasting


def check_at_start(settings: Settings, storage: Storage) -> None:
    """Check Redis and the storage at the start; raises `Misconfigured` or `StorageRefused`.

    A Redis or a storage that is away is no error: the process waits for it while it runs.
    """
    redis = connect(settings.redis_url, answers_within_s=REDIS_TIMEOUT_S)
    try:
        looks = _looks(settings, storage, redis)
        found = run_check(looks["redis"])
        if found.is_lasting:
            raise Misconfigured(found.problem or "")
        shown = without_password(settings.storage_url)
        try:
            looks["storage"]()
        except (Misconfigured, StorageRefused) as error:
            raise type(error)(f"TTS_STORAGE_URL={shown}: {error.message}") from error
        except Unavailable as error:
            _log.info("Not checked yet: %s", error)
    finally:
        redis.close()


def _looks(settings: Settings, storage: Storage, redis: Redis) -> dict[str, Callable[[], Finding]]:
    return {
        "redis": partial(look_at_redis, redis, allow_eviction=settings.allow_eviction),
        "storage": partial(look_at_storage, storage, redis),
    }
