"""A limit of requests a second for each owner of keys, as a token bucket in each process."""

from __future__ import annotations

import math
import time
from collections import OrderedDict

from shared.errors import TooManyRequests

# A bucket holds the requests of two seconds, which an owner may send at once.
BURST_S = 2.0
# Owners whose buckets are kept: one that is dropped starts with a full one again.
MAX_BUCKETS = 10_000


class RateLimit:
    """The buckets of all owners; `per_s` of 0 is no limit."""

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._full = max(1.0, per_s * BURST_S)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, owner: str) -> None:
        """Count one request; raises `TooManyRequests` if the owner has none left."""
        if not self._per_s:
            return
        now_s = time.monotonic()
        left, at_s = self._buckets.get(owner, (self._full, now_s))
        left = min(self._full, left + (now_s - at_s) * self._per_s)
        is_over = left < 1
        self._buckets[owner] = (left if is_over else left - 1, now_s)
        self._buckets.move_to_end(owner)
        if len(self._buckets) > MAX_BUCKETS:
            self._buckets.popitem(last=False)
        if is_over:
            raise TooManyRequests(
                f"more than {self._per_s:,g} requests a second (TTS_MAX_REQUESTS_PER_S)",
                retry_after_s=math.ceil((1 - left) / self._per_s),
            )
