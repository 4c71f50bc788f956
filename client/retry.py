"""Retries with exponential backoff."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from client.errors import NarrateError

FIRST_BACKOFF_S, MAX_BACKOFF_S, MAX_RETRY_AFTER_S = 0.2, 5.0, 30.0

T = TypeVar("T")


def backoff(first_s: float, max_s: float, factor: float = 2.0) -> Iterator[float]:
    """Endless pauses that grow by `factor`, up to `max_s`: 1, 2, 4, 5, 5, … for 1 and 5."""
    pause_s = first_s
    while True:
        yield pause_s
        pause_s = max(pause_s, min(factor * pause_s, max_s))


def retry(call: Callable[[], T], timeout_s: float) -> T:
    """The value of `call`, which is repeated after transient errors for up to `timeout_s` seconds.

    Pauses double from 0.2 s to 5 s; a longer Retry-After is kept, up to 30 s. Raises the last error
    after `timeout_s`, and an error that is not transient immediately.
    """
    deadline = time.monotonic() + timeout_s
    pauses = backoff(FIRST_BACKOFF_S, MAX_BACKOFF_S)
    while True:
        try:
            return call()
        except NarrateError as error:
            asked_s = min(error.retry_after_s or 0.0, MAX_RETRY_AFTER_S)
            pause_s = max(next(pauses), asked_s)
            if not error.transient or time.monotonic() + pause_s > deadline:
                raise
        time.sleep(pause_s)
