"""Patience with Redis and the storage, as long as a claim is worth it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import CancelledError
from threading import Event
from typing import TypeVar

from shared.errors import Unavailable

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 10.0
_log = logging.getLogger(__name__)
T = TypeVar("T")


def insist(call: Callable[[], T], lost: Event) -> T:
    """Return what `call` returns, trying again while it raises `Unavailable`.

    Pauses double from 0.5 s to 10 s. Raises `CancelledError` once the claim is `lost`.
    """
    pause_s = FIRST_PAUSE_S
    while not lost.is_set():
        try:
            return call()
        except Unavailable as error:
            _log.warning("Trying again in %g s: %s", pause_s, error)
        lost.wait(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
    raise CancelledError
