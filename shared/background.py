"""Background threads, which restart after a failure and report it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from shared.backoff import backoff

FIRST_BACKOFF_S, MAX_BACKOFF_S = 0.5, 10.0
# Seconds of running after a failure, from which on a body is healthy again.
SETTLED_AFTER_S = 5.0
_log = logging.getLogger(__name__)


class BackgroundThread:
    """A named daemon thread that runs `body` again after an unexpected exception.

    `body` gets the event that asks it to stop, and returns once that is set. Pauses between its
    runs double up to `longest_pause_s`; each failure is logged with its traceback.
    """

    def __init__(
        self,
        name: str,
        body: Callable[[threading.Event], None],
        *,
        longest_pause_s: float = MAX_BACKOFF_S,
        settled_s: float = SETTLED_AFTER_S,
    ) -> None:
        self.name = name
        self._body = body
        self._longest_pause_s = longest_pause_s
        self._settled_s = settled_s
        self._stopping = threading.Event()
        self._failure: str | None = None
        # The start of the body's current run; None between two runs.
        self._running_since_s: float | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Run the body from now on."""
        self._thread.start()

    def stop(self, timeout_s: float | None = None) -> None:
        """Ask the body to return, and wait for it; does not wait if it was never started."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    @property
    def is_stopping(self) -> bool:
        """True once the body was asked to return."""
        return self._stopping.is_set()

    @property
    def problem(self) -> str | None:
        """A sentence while the body is down, or has failed within `settled_s`; None otherwise.

        It names the kind of the failure only: the message may hold a secret, and is in the log.
        """
        if self._thread.ident is None or self.is_stopping:
            return None
        if not self._thread.is_alive():
            return f"the thread `{self.name}` has ended"
        if self._failure is None or self._has_settled():
            return None
        return f"the thread `{self.name}` failed with {self._failure} and is started again"

    def _has_settled(self) -> bool:
        since_s = self._running_since_s
        return since_s is not None and time.monotonic() - since_s >= self._settled_s

    def _run(self) -> None:
        pauses = backoff(FIRST_BACKOFF_S, self._longest_pause_s)
        while not self._stopping.is_set():
            self._running_since_s = time.monotonic()
            try:
                self._body(self._stopping)
                return
            except BaseException as error:  # noqa: BLE001 - the work has to go on after any error
                if self._has_settled():
                    pauses = backoff(FIRST_BACKOFF_S, self._longest_pause_s)
                self._failure, self._running_since_s = type(error).__name__, None
                pause_s = next(pauses)
                _log.exception("The thread %s failed; it starts again in %g s", self.name, pause_s)
            self._stopping.wait(pause_s)
