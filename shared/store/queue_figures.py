"""The figures of the ledger for the metrics: what waits, what is spoken, and counts of events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from redis import Redis

from shared.errors import Unavailable
from shared.jobs import Priority, job_of
from shared.store import keys
from shared.store.connection import redis_errors
from shared.store.scripts import Steps
from shared.store.workers import count_workers

# Leases, and jobs, that are read at a time.
PAGE_SIZE = 1_000


class Queue(NamedTuple):
    """The segments of one priority of a model's jobs."""

    model: str
    priority: str


class LedgerEvent(NamedTuple):
    """A kind of event that the steps count (`count_event` in Lua), of one model.

    `detail` and `model` are `-` where there is none.
    """

    event: str
    detail: str
    model: str


class Memory(NamedTuple):
    """The bytes that Redis uses, and its `maxmemory`; 0 is no limit."""

    used: int
    most: int

    @classmethod
    def read(cls, redis: Redis) -> Memory | None:
        """Read them; None where Redis allows no INFO, or does not answer."""
        try:
            with redis_errors():
                info: dict[str, Any] = redis.info("memory")
        except Unavailable:
            return None
        return cls(int(info["used_memory"]), int(info.get("maxmemory", 0)))


@dataclass(frozen=True)
class QueueFigures:
    """The ledger at one moment.

    `oldest_s` has the longest time since a job of a model, of which something waits, had its last
    turn. `memory` is None where Redis allows no INFO.
    """

    waiting: dict[Queue, int]
    running: dict[Queue, int]
    oldest_s: dict[str, float]
    workers: dict[str, int]
    jobs_open: int
    receivers_waiting: int
    counts: dict[LedgerEvent, int]
    memory: Memory | None

    @classmethod
    def read(cls, redis: Redis) -> QueueFigures:
        """Read them in some short steps; raises `Unavailable`."""
        with redis_errors(), redis.pipeline(transaction=False) as pipe:
            for key in (keys.QUEUES, keys.QUEUES_BY_PRIORITY, keys.COUNTS):
                pipe.hgetall(key)
            pipe.hkeys(keys.MODELS)
            for key in (keys.JOBS, keys.ENDED, keys.RECEIVERS):
                pipe.zcard(key)
            queues, by_priority, counts, served, jobs, ended, receivers = pipe.execute()
        models = sorted({*served, *queues})
        return cls(
            waiting=_waiting(queues, by_priority),
            running=_running(redis),
            oldest_s=_oldest_s(redis, models),
            workers=count_workers(redis, models),
            jobs_open=jobs - ended,
            receivers_waiting=receivers,
            counts={LedgerEvent(*name.split(" ", 2)): int(n) for name, n in counts.items()},
            memory=Memory.read(redis),
        )


def _waiting(queues: dict[str, str], by_priority: dict[str, str]) -> dict[Queue, int]:
    """The waiting segments; those of normal priority are what is left of a model's."""
    found = {}
    for model, total in queues.items():
        left = int(total)
        for priority in (Priority.HIGH, Priority.LOW):
            # Less than none, and more than all, are traces of a worker of an older version.
            counted = int(by_priority.get(f"{priority} {model}", 0))
            found[Queue(model, priority)] = count = min(left, max(0, counted))
            left -= count
        found[Queue(model, Priority.NORMAL)] = left
    return found


def _running(redis: Redis) -> dict[Queue, int]:
    """The segments with a lease, by what their jobs are."""
    segments = Counter(map(job_of, _leased(redis)))
    found = Counter[Queue]()
    jobs = list(segments)
    for first in range(0, len(jobs), PAGE_SIZE):
        page = jobs[first : first + PAGE_SIZE]
        with redis_errors(), redis.pipeline(transaction=False) as pipe:
            for job in page:
                pipe.hmget(keys.job(job), "model", "priority")
            rows = pipe.execute()
        for job, (model, priority) in zip(page, rows, strict=True):
            if model is not None:  # else it was deleted meanwhile
                found[Queue(model, priority or Priority.NORMAL)] += segments[job]
    return dict(found)


def _leased(redis: Redis) -> Iterator[str]:
    """The ids of the leased segments; the leases may change between two pages."""
    first, page = 0, [""]
    while page:
        with redis_errors():
            found = redis.zrange(keys.LEASES, first, first + PAGE_SIZE - 1)
            page = cast(list[str], found)
        yield from page
        first += PAGE_SIZE


def _oldest_s(redis: Redis, models: Sequence[str]) -> dict[str, float]:
    ages = Steps(redis).run("oldest", *models)
    return {model: float(age or 0) for model, age in zip(models, ages, strict=True)}
