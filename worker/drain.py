"""How a worker stops: what is being spoken may end, and at the deadline the rest is handed back."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable

# What a step and the way to the ledger take at the most.
GRACE_S = 2.0
_log = logging.getLogger(__name__)


class Drain:
    """Begins once, at SIGTERM; after `deadline_s` it calls `hand_back`, and then waits no more."""

    def __init__(self, deadline_s: float, hand_back: Callable[[], None]) -> None:
        self._deadline_s = deadline_s
        self._hand_back = hand_back
        self._timers: list[threading.Timer] = []

    def begin(self) -> None:
        """Start the clock."""
        if self._timers:
            return
        _log.info("Stopping: what is being spoken has %g s to end", self._deadline_s)
        for after_s, call in (
            (self._deadline_s, self._give_up),
            (self._deadline_s + GRACE_S, self._exit),
        ):
            timer = threading.Timer(after_s, call)
            timer.daemon = True
            timer.start()
            self._timers.append(timer)

    @property
    def has_begun(self) -> bool:
        """Whether the worker is to stop."""
        return bool(self._timers)

    def end(self) -> None:
        """Note that the worker has stopped by itself."""
        for timer in self._timers:
            timer.cancel()

    def _give_up(self) -> None:
        _log.warning("Handing back what is not done")
        self._hand_back()

    def _exit(self) -> None:
        # What is left is found when its lease runs out.
        _log.warning("Something holds this worker up: it exits without waiting for it")
        logging.shutdown()
        os._exit(0)
