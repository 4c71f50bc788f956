"""A worker that is started anew when it ends."""

import time
from collections.abc import Callable

from client.errors import ChildExited
from client.local.child import Child

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
STEADY_S = 60.0  # Who has lived this long begins with a short pause again.


class Keeper:
    """Holds `child`, which `start` starts; it pauses before it does so again, ever longer."""

    def __init__(self, start: Callable[[], Child]) -> None:
        self._start = start
        self._pause_s = FIRST_PAUSE_S
        self._began_s = time.monotonic()
        self._due_s: float | None = None
        self.child = start()

    def tend(self) -> ChildExited | None:
        """Start the child anew if it has ended and the pause is over; returns its end, once."""
        now_s = time.monotonic()
        if self.child.exit_code is None:
            return None
        if self._due_s is None:
            if now_s - self._began_s > STEADY_S:
                self._pause_s = FIRST_PAUSE_S
            self._due_s = now_s + self._pause_s
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
            return ChildExited(self.child.name, self.child.exit_code, self.child.log)
        if now_s >= self._due_s:
            self._began_s, self._due_s = now_s, None
            self.child = self._start()
        return None
