"""The end of a process that has stopped working: its supervisor starts another."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable

STALL_S = 15.0
SLOW_S = 5.0  # far longer than a step takes
EXIT_CODE = 70  # EX_SOFTWARE of sysexits.h
_log = logging.getLogger(__name__)


class Watchdog:
    """Looks at the engine and at what is consumed; `check` is called at each heartbeat.

    `stalled_s` tells for how long the engine has been at one thing; `messages`, how many wait in
    the worker's queue.
    """

    def __init__(self, *, stalled_s: Callable[[], float], messages: Callable[[], int]) -> None:
        self._stalled_s = stalled_s
        self._messages = messages
        self._passed_over_since_s: float | None = None
        self._failing_since_s: float | None = None

    def check(self, *, is_idle: bool) -> None:
        """End the process if the engine or, in an idle worker, the consumer has stalled."""
        if self._stalled_s() > STALL_S:
            self._exit("The engine has not moved")
        if not is_idle:
            self.consumed()
        elif self._passed_over_s() > STALL_S:
            self._exit("Nothing was consumed, though something waits,")

    @property
    def engine_moves(self) -> bool:
        """Whether what this worker holds is getting on; else its leases are to run out."""
        return self._stalled_s() < SLOW_S

    def failed(self) -> None:
        """Note that a heartbeat failed; end the process if they have all done so for too long.

        Its leases run out meanwhile, and what it claims more is lost to it, too.
        """
        now_s = time.monotonic()
        if self._failing_since_s is None:
            self._failing_since_s = now_s
        if now_s - self._failing_since_s > STALL_S:
            self._exit("Every heartbeat has failed")

    def beaten(self) -> None:
        """Note that a heartbeat kept its leases, or that Redis was away, which is no failure."""
        self._failing_since_s = None

    def consumed(self) -> None:
        """Note that a message was taken, or that none could be."""
        self._passed_over_since_s = None

    def _passed_over_s(self) -> float:
        now_s = time.monotonic()
        if not self._messages():
            self.consumed()
            return 0.0
        if self._passed_over_since_s is None:
            self._passed_over_since_s = now_s
        return now_s - self._passed_over_since_s

    def _exit(self, reason: str) -> None:
        _log.critical("%s for %g s: this worker exits", reason, STALL_S)
        logging.shutdown()
        os._exit(EXIT_CODE)
