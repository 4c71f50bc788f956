"""A worker's graceful shutdown: segments may end until a deadline, the others are handed back."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable

from celery import Celery
from celery.bootsteps import StartStopStep

# The longest that a step of the engine and a release in the ledger take.
EXIT_GRACE_S = 2.0
STOP_SIGNALS = (signal.SIGINT, signal.SIGHUP)
_log = logging.getLogger(__name__)


class GracefulShutdown:
    """The deadline of a stop, started once, at SIGTERM.

    After `deadline_s` it calls `revoke_leases`, and `EXIT_GRACE_S` later it ends the process.
    """

    def __init__(self, deadline_s: float, revoke_leases: Callable[[], None]) -> None:
        self._deadline_s = deadline_s
        self._revoke_leases = revoke_leases
        self._timers: list[threading.Timer] = []

    def begin(self) -> None:
        """Start the timers, once."""
        if self._timers:
            return
        _log.info("Stopping: what is being spoken has %g s to end", self._deadline_s)
        for after_s, call in (
            (self._deadline_s, self._revoke),
            (self._deadline_s + EXIT_GRACE_S, self._exit),
        ):
            timer = threading.Timer(after_s, call)
            timer.daemon = True
            timer.start()
            self._timers.append(timer)

    @property
    def has_begun(self) -> bool:
        """True once the worker is to stop."""
        return bool(self._timers)

    def end(self) -> None:
        """Stop the timers: the worker has stopped by itself."""
        for timer in self._timers:
            timer.cancel()

    def _revoke(self) -> None:
        _log.warning("Handing back what is not done")
        self._revoke_leases()

    def _exit(self) -> None:
        # A segment that was not handed back is found when its lease runs out.
        _log.warning("Something holds this worker up: it exits without waiting for it")
        logging.shutdown()
        os._exit(0)


class StopSignals(StartStopStep):
    """Ctrl-C and SIGHUP stop a worker as SIGTERM does; set up after Celery's own handlers.

    At SIGHUP Celery would start `sys.argv` anew, which is no command after `python -m`; at Ctrl-C
    it would end with 1.
    """

    @classmethod
    def add_to(cls, app: Celery) -> None:
        """Add this step to the workers of an application."""
        app.steps["worker"].add(cls)

    def start(self, _worker: object) -> None:
        """Set up the signals."""
        for number in STOP_SIGNALS:
            signal.signal(number, lambda *_: signal.raise_signal(signal.SIGTERM))
