"""Metrics of every process: the latency and the errors of Redis and of the storage.

docs/monitoring.md lists all metrics. They are counted in this process, but for those of the ledger
(`shared.store.queue_figures`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

from shared.errors import Unavailable

# Half of what is written would be the times at which each value was made.
disable_created_metrics()  # type: ignore[no-untyped-call]  # as the package has it

LATENCY_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
REDIS_SECONDS = Histogram(
    "tts_redis_seconds",
    "Latency of a step of the ledger, errors included",
    ["step"],
    buckets=LATENCY_BUCKETS_S,
)
REDIS_ERRORS = Counter("tts_redis_errors", "Steps that Redis refused or did not answer", ["step"])
STORAGE_SECONDS = Histogram(
    "tts_storage_seconds",
    "Latency of an operation of the storage, errors included",
    ["operation"],
    buckets=LATENCY_BUCKETS_S,
)
STORAGE_ERRORS = Counter(
    "tts_storage_errors", "Operations that the storage refused or did not answer", ["operation"]
)
BUILD = Gauge(
    "tts_build_info", "1; the version is in the label", ["version"], multiprocess_mode="max"
)
BUILD.labels(version("qwen-tts-queue")).set(1)


@contextmanager
def _measured(seconds: Histogram, errors: Counter, name: str) -> Iterator[None]:
    """Measure what is done meanwhile; `Unavailable` is an error."""
    begun_s = time.perf_counter()
    try:
        yield
    except Unavailable:
        errors.labels(name).inc()
        raise
    finally:
        seconds.labels(name).observe(time.perf_counter() - begun_s)


# Context managers around one step, or one operation, of this name.
redis_step = partial(_measured, REDIS_SECONDS, REDIS_ERRORS)
storage_operation = partial(_measured, STORAGE_SECONDS, STORAGE_ERRORS)
