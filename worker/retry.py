"""Patience with Redis and the storage, as long as a claim is worth it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from threading import Event
from typing import TypeVar

from shared.errors import StorageRefused, Unavailable

# Credentials may be in the middle of a change; a wrong one stays wrong.
REFUSAL_LIMIT_S = 15.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 10.0
_log = logging.getLogger(__name__)
T = TypeVar("T")


def retry_while_held(call: Callable[[], T], lost: Event) -> T:
    """Return what `call` returns, trying again while it raises `Unavailable`.

    Pauses double from 0.5 s to 10 s. Raises `CancelledError` once the claim is `lost`, and
    `StorageRefused` once the storage has refused for `REFUSAL_LIMIT_S` seconds.
    """
    pause_s, refused_since_s = FIRST_PAUSE_S, None
    while not lost.is_set():
        try:
            return call()
        except StorageRefused as error:
            refused_since_s = refused_since_s or time.monotonic()
            if time.monotonic() - refused_since_s >= REFUSAL_LIMIT_S:
                raise
            _log.warning("Trying again in %g s: %s", pause_s, error)
        except Unavailable as error:
            refused_since_s = None
            _log.warning("Trying again in %g s: %s", pause_s, error)
        lost.wait(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
    raise CancelledError
