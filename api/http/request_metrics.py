"""The count and the duration of requests, by route."""

from __future__ import annotations

from collections.abc import MutableMapping
from functools import cache
from typing import Any

from prometheus_client import Histogram

REQUEST_SECONDS = Histogram(
    "tts_http_request_seconds",
    "Duration of a request until its answer is sent, by the template of its route",
    ["method", "route", "status"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60),
)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def observe_request(scope: MutableMapping[str, Any], status: int, seconds: float) -> None:
    """Count a request that has ended.

    Clients cannot make new label values: a path without a route is `-`, and any other method
    `other`.
    """
    method = scope["method"] if scope["method"] in METHODS else "other"
    route = getattr(scope.get("route"), "path", "-")
    _series(method, route, f"{status // 100}xx").observe(seconds)


@cache  # `labels` takes 1 µs, and a lock
def _series(method: str, route: str, status: str) -> Histogram:
    return REQUEST_SECONDS.labels(method, route, status)
