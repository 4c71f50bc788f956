"""A child process that is restarted when it ends."""

from __future__ import annotations

import time
from collections.abc import Callable

from client.errors import ChildExited, NarrateError, StartFailed
from client.local.child import Child

FIRST_BACKOFF_S, MAX_BACKOFF_S = 0.5, 30.0
STABLE_AFTER_S = 60.0  # the backoff of a process that has lived this long begins anew


class RestartingProcess:
    """Holds `child`, which `start` starts, and restarts it with exponential backoff.

    It never gives up: the cause, such as a port in use or a full disk, may go away.
    """

    def __init__(self, start: Callable[[], Child], child: Child | None = None) -> None:
        self._start = start
        self._pause_s = FIRST_BACKOFF_S
        self._began_s = time.monotonic()
        self._due_s: float | None = None
        self.child = child or start()

    def restart_if_ended(self) -> NarrateError | None:
        """Restart the child if it has ended and the pause is over.

        Returns ChildExited once for each end, and StartFailed for each failed start.
        """
        now_s = time.monotonic()
        if self.child.exit_code is None:
            return None
        if self._due_s is None:
            if now_s - self._began_s > STABLE_AFTER_S:
                self._pause_s = FIRST_BACKOFF_S
            self._pause_from(now_s)
            return ChildExited(self.child.name, self.child.exit_code, self.child.log)
        if now_s >= self._due_s:
            return self._start_again(now_s)
        return None

    def _start_again(self, now_s: float) -> StartFailed | None:
        try:
            self.child = self._start()
        except StartFailed as error:
            self._pause_from(now_s)
            return error
        self._began_s, self._due_s = now_s, None
        return None

    def _pause_from(self, now_s: float) -> None:
        self._due_s = now_s + self._pause_s
        self._pause_s = min(2 * self._pause_s, MAX_BACKOFF_S)
