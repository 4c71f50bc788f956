"""A child process that is restarted when it ends."""

from __future__ import annotations

import time
from collections.abc import Callable

from client.errors import ChildExited, NarrateError, StartFailed
from client.local.child import Child
from client.retry import backoff

FIRST_BACKOFF_S, MAX_BACKOFF_S = 0.5, 30.0
STABLE_AFTER_S = 60.0  # the backoff of a process that has lived this long begins anew


class RestartingProcess:
    """Holds `child`, which `start` starts, and restarts it with exponential backoff.

    It never gives up: the cause, such as a port in use or a full disk, may go away.
    """

    def __init__(self, start: Callable[[], Child], child: Child | None = None) -> None:
        self._start = start
        self._pauses = backoff(FIRST_BACKOFF_S, MAX_BACKOFF_S)
        self._started_s = time.monotonic()
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
            if now_s - self._started_s > STABLE_AFTER_S:
                self._pauses = backoff(FIRST_BACKOFF_S, MAX_BACKOFF_S)
            self._due_s = now_s + next(self._pauses)
            return ChildExited(self.child.name, self.child.exit_code, self.child.log)
        if now_s < self._due_s:
            return None
        try:
            self.child = self._start()
        except StartFailed as error:
            self._due_s = now_s + next(self._pauses)
            return error
        self._started_s, self._due_s = now_s, None
        return None
