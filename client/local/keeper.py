"""A process that is started anew when it ends."""

import time
from collections.abc import Callable

from client.errors import ChildExited, NarrateError, StartFailed
from client.local.child import Child

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
STEADY_S = 60.0  # A process that has lived this long begins with a short pause again.


class Keeper:
    """Holds `child`, which `start` starts; it pauses before it does so again, ever longer.

    It never gives up: what holds a process up may go away, a port that is taken or a full disk.
    """

    def __init__(self, start: Callable[[], Child], child: Child | None = None) -> None:
        self._start = start
        self._pause_s = FIRST_PAUSE_S
        self._began_s = time.monotonic()
        self._due_s: float | None = None
        self.child = child or start()

    def tend(self) -> NarrateError | None:
        """Start the child anew if it has ended and the pause is over; returns its end, once.

        And each start that failed.
        """
        now_s = time.monotonic()
        if self.child.exit_code is None:
            return None
        if self._due_s is None:
            if now_s - self._began_s > STEADY_S:
                self._pause_s = FIRST_PAUSE_S
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
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
