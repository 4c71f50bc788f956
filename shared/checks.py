"""Background checks of a process's dependencies; reading a finding never waits."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from shared.background import BackgroundThread
from shared.errors import Misconfigured, QueueError

# Seconds after which a finding that is read is checked again.
MAX_FINDING_AGE_S = 1.0
LOOK_TIMEOUT_S = 5.0
_log = logging.getLogger(__name__)


class Finding(NamedTuple):
    """The outcome of a check: a problem if work is impossible, and warnings.

    `is_lasting` is true of a problem that stays until an operator changes something.
    """

    problem: str | None = None
    warnings: tuple[str, ...] = ()
    is_lasting: bool = False


class Check:
    """A check that a thread of its own makes every `every_s` seconds, and when an old one is read.

    A change is logged once. A look that takes more than `within_s` seconds is itself a problem.
    """

    def __init__(
        self,
        name: str,
        look: Callable[[], Finding],
        *,
        every_s: float,
        within_s: float = LOOK_TIMEOUT_S,
    ) -> None:
        self.name = name
        self._look = look
        self._every_s, self._within_s = every_s, within_s
        self.last = Finding("not checked yet")
        self._found_at_s = 0.0
        self._looking_since_s: float | None = None
        self._logged = Finding()
        self._wake, self._first = threading.Event(), threading.Event()
        self.thread = BackgroundThread(f"check of {name}", self._loop)

    def start(self) -> None:
        """Begin to look."""
        self.thread.start()

    def wait(self, within_s: float) -> None:
        """Return after the first look, or after `within_s` seconds."""
        self._first.wait(within_s)

    def stop(self) -> None:
        """Stop; a look that hangs is not waited for."""
        self.thread.stop(0)  # before it wakes
        self._wake.set()
        self.thread.stop(0.5)

    def finding(self) -> Finding:
        """The outcome of the last look, without waiting; an old one also starts a new look."""
        now_s, since_s = time.monotonic(), self._looking_since_s
        if since_s is not None and now_s - since_s > self._within_s:
            return Finding(f"no answer for {now_s - since_s:.0f} s")
        if now_s - self._found_at_s > MAX_FINDING_AGE_S:
            self._wake.set()
        return self.last

    def _loop(self, stopping: threading.Event) -> None:
        while True:
            self._wake.clear()
            # In this order: the wake-up that was just cleared may be that of `stop`.
            if stopping.is_set():
                return
            self._looking_since_s = time.monotonic()
            try:
                found = run_check(self._look)
            finally:
                self._looking_since_s = None
            self.last, self._found_at_s = found, time.monotonic()
            self._first.set()
            self._log_change(found)
            self._wake.wait(self._every_s)

    def _log_change(self, found: Finding) -> None:
        for warning in set(found.warnings) - set(self._logged.warnings):
            _log.warning("%s: %s", self.name, warning)
        if found.problem and _kind(found.problem) != _kind(self._logged.problem):
            _log.error("%s: %s", self.name, found.problem)
        elif self._logged.problem and not found.problem:
            _log.warning("%s is well again", self.name)
        self._logged = found


def run_check(look: Callable[[], Finding]) -> Finding:
    """The outcome of a look; a `QueueError` is a problem."""
    try:
        return look()
    except QueueError as error:
        return Finding(error.message, is_lasting=isinstance(error, Misconfigured))


def _kind(problem: str | None) -> str | None:
    """A problem's text without digits: times and addresses differ at each look."""
    return problem and "".join(letter for letter in problem if not letter.isdigit())
