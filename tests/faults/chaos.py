"""Faults at random, for as long as they are wanted."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence

from tests.faults.service import Service

Fault = Callable[[Service], None]


def strike(
    service: Service, faults: Sequence[Fault], *, every_s: float, until: Callable[[], object]
) -> Counter[str]:
    """Inject one fault after another, after pauses of `every_s` seconds on average.

    In the thread that stays: the kernel ends what a thread has started when the thread ends.
    """
    strikes = Counter[str]()
    while True:
        due_s = time.monotonic() + random.uniform(0.5, 1.5) * every_s
        while time.monotonic() < due_s:
            if until():
                return strikes
            time.sleep(0.05)
        fault = random.choice(faults)
        fault(service)
        strikes[fault.__name__] += 1


def kill_a_worker(service: Service) -> None:
    service.kill(random.choice(service.victims()))


def kill_one_of_all(service: Service) -> None:
    """Kill a worker when all are there: a slow machine starts none between two strikes."""
    service.wait_for_workers()
    kill_a_worker(service)


def stop_a_worker(service: Service) -> None:
    service.kill(random.choice(service.victims()), signal.SIGTERM)


def freeze_a_worker(service: Service) -> None:
    """For longer than a lease holds."""
    child = random.choice(service.victims())
    os.kill(child.pid, signal.SIGSTOP)
    time.sleep(13)
    os.kill(child.pid, signal.SIGCONT)


def cut_connections(service: Service) -> None:
    service.redis.client_kill_filter(_type="normal", skipme=True)


def delete_messages(service: Service) -> None:
    service.redis.delete("tts.tiny-CustomVoice", "unacked", "unacked_index")


def restart_redis(service: Service) -> None:
    service.kill(service.redis_child, random.choice([signal.SIGTERM, signal.SIGKILL]))
    time.sleep(random.uniform(0, 3))
    service.start_redis()


def freeze_redis(service: Service) -> None:
    os.kill(service.redis_child.pid, signal.SIGSTOP)
    time.sleep(random.uniform(1, 12))
    os.kill(service.redis_child.pid, signal.SIGCONT)


EVERYTHING: tuple[Fault, ...] = (
    *(kill_a_worker, stop_a_worker, freeze_a_worker),
    *(cut_connections, delete_messages, restart_redis, freeze_redis),
)
