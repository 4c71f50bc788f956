"""Retries with exponential backoff."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from client.errors import NarrateError

FIRST_PAUSE_S, LONGEST_PAUSE_S, LONGEST_RETRY_AFTER_S = 0.2, 5.0, 30.0

T = TypeVar("T")


def retry(call: Callable[[], T], patience_s: float) -> T:
    """Return what `call` returns, trying again on transient errors for up to `patience_s` seconds.

    Pauses double from 0.2 s to 5 s; a longer Retry-After is kept to, up to 30 s. What `call`
    raised last is raised when patience ends, and at once where trying again cannot help.
    """
    gives_up_at = time.monotonic() + patience_s
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            return call()
        except NarrateError as error:
            asked_s = min(error.retry_after_s or 0.0, LONGEST_RETRY_AFTER_S)
            rest_s = max(pause_s, asked_s)
            if not error.transient or time.monotonic() + rest_s > gives_up_at:
                raise
        time.sleep(rest_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
