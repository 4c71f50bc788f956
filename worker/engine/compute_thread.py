"""The thread that computes, for one engine or for several that take turns."""

from __future__ import annotations

import logging
import threading
from typing import Protocol

_log = logging.getLogger(__name__)


class Turns(Protocol):
    """Work that is done in turns, on the thread; `abort` gives up what is left of it."""

    @property
    def has_work(self) -> bool:
        """True if there is something to do; read with the thread's `changed` held."""
        ...

    @property
    def is_closed(self) -> bool:
        """True if nothing more is to come; read with the thread's `changed` held."""
        ...

    def work(self) -> None:
        """Do a little: one step of what runs."""
        ...

    def abort(self, error: BaseException) -> None:
        """Fail all that waits or runs."""
        ...


class ComputeThread:
    """One thread for all engines of a process; it ends with the last one, and begins anew.

    Each thread that computes has a team of OpenMP's, and teams of more threads than there are cores
    slow each other down even while they are idle (`threads.run_in_temporary_thread`). So engines
    share one, and take turns step by step while several speak.
    """

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self._all: list[Turns] = []
        self._thread: threading.Thread | None = None

    def add(self, turns: Turns) -> None:
        """Give turns to an engine until it is closed and done."""
        with self.changed:
            self._all.append(turns)
            if self._thread is None:
                self._thread = threading.Thread(target=self._loop, name="engine", daemon=True)
                self._thread.start()
            self.changed.notify_all()

    def has(self, turns: Turns) -> bool:
        """True while an engine has turns."""
        return turns in self._all

    def wait_for_end(self, turns: Turns) -> None:
        """Return once an engine has had its last turn, and the thread has ended if it was alone."""
        with self.changed:
            thread = self._thread
            self.changed.wait_for(lambda: turns not in self._all)
            is_over = not self._all
        if thread is not None and is_over:
            thread.join()

    def _loop(self) -> None:
        while busy := self._wait():
            for turns in busy:
                try:
                    turns.work()
                except BaseException as error:  # noqa: BLE001 - no caller may wait for an engine that has stopped
                    _log.critical("The engine stops", exc_info=error)
                    turns.abort(error)
                    self._remove(turns)

    def _wait(self) -> list[Turns]:
        """The engines that have work; none once all are closed and done."""
        with self.changed:
            while True:
                for turns in [one for one in self._all if one.is_closed and not one.has_work]:
                    self._remove(turns)
                busy = [turns for turns in self._all if turns.has_work]
                if busy:
                    return busy
                if not self._all:
                    self._thread = None
                    return []
                self.changed.wait()

    def _remove(self, turns: Turns) -> None:
        with self.changed:
            self._all.remove(turns)
            self.changed.notify_all()
