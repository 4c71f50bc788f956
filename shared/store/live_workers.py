"""The live workers as an operator sees them: what each is and does, and which are drained."""

from __future__ import annotations

import logging
from typing import cast

from pydantic import ValidationError
from redis import Redis

from shared.errors import WorkerNotFound
from shared.records import Record
from shared.store import keys
from shared.store.connection import redis_errors
from shared.store.scripts import Steps
from shared.store.workers import MAX_PRESENCE_S, WorkerRegistry

# Seconds for which a drain outlives the last heartbeat of its worker, such as while Redis is away.
DRAIN_TTL_S = 600
_log = logging.getLogger(__name__)


class WorkerInfo(Record):
    """A worker's description of itself, renewed at each heartbeat.

    `loaded` are those of its `models` that are in memory. Its speed is that of the last minute.
    `storage` has no password.
    """

    id: str
    version: str
    models: tuple[str, ...]
    loaded: tuple[str, ...] = ()
    precision: str
    device: str
    slots: int
    storage: str
    host: str
    pid: int
    started_at: float
    segments_per_minute: float = 0.0
    audio_s_per_s: float = 0.0


class LiveWorker(Record):
    """A live worker; `info` is None of one of an older version, which says nothing of itself.

    `draining_since` is when an operator had it claim nothing any more.
    """

    id: str
    info: WorkerInfo | None
    draining_since: float | None


class LiveWorkers:
    """The workers' descriptions in Redis; every method raises `Unavailable` while it is away."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._steps = Steps(redis)
        self._registry = WorkerRegistry(redis)

    def note(self, info: WorkerInfo) -> bool:
        """Keep a worker's description for some heartbeats; True if the worker is drained."""
        with redis_errors(), self._redis.pipeline() as pipe:
            pipe.set(keys.worker(info.id), info.model_dump_json(), ex=MAX_PRESENCE_S)
            pipe.expire(keys.draining(info.id), DRAIN_TTL_S)
            return bool(pipe.execute()[1])

    def forget(self, worker: str) -> None:
        """Forget a worker that has stopped."""
        with redis_errors():
            self._redis.delete(keys.worker(worker), keys.draining(worker))

    def all(self) -> list[LiveWorker]:
        """Every live worker, by its id."""
        names = sorted(self._registry.workers())
        if not names:
            return []
        with redis_errors():
            infos = cast("list[str | None]", self._redis.mget(map(keys.worker, names)))
            drains = cast("list[str | None]", self._redis.mget(map(keys.draining, names)))
        return [
            LiveWorker(id=name, info=_read(info), draining_since=float(since) if since else None)
            for name, info, since in zip(names, infos, drains, strict=True)
        ]

    def drain(self, worker: str) -> float:
        """Let a worker claim nothing any more; returns since when. Raises `WorkerNotFound`.

        It ends what it speaks, and stays, idle, until `resume` or its own end.
        """
        since = self._steps.run("drain", worker, DRAIN_TTL_S)
        if since is None:
            raise WorkerNotFound(
                f"no live worker {worker[:100]!r} that can be drained; one of an older version is"
                " stopped with SIGTERM instead"
            )
        return float(since)

    def resume(self, worker: str) -> bool:
        """Let a worker claim again; False if it was not drained. Raises `WorkerNotFound`."""
        with redis_errors(), self._redis.pipeline() as pipe:
            pipe.delete(keys.draining(worker))
            pipe.exists(keys.worker(worker))
            was_drained, is_live = pipe.execute()
        if not (was_drained or is_live):
            raise WorkerNotFound(
                f"no live worker {worker[:100]!r}; `narrate admin workers` shows them"
            )
        return bool(was_drained)


def _read(info: str | None) -> WorkerInfo | None:
    if info is None:
        return None
    try:
        return WorkerInfo.model_validate_json(info)
    except ValidationError:
        _log.warning("Passed over a worker of another version: %s", info)
        return None
