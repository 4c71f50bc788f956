"""Child processes that never outlive this one, and their restarts."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from client.errors import ChildExited, NarrateError, StartFailed
from client.retry import backoff

PR_SET_PDEATHSIG = 1  # linux/prctl.h
POLL_INTERVAL_S = 0.05


class Child:
    """A child process called `name`. It writes to `log`, or to our terminal if that is None.

    It has a session of its own: Ctrl-C in the terminal reaches only us, and we choose the order in
    which processes stop. Start it from a thread that lives as long as it does: see `_die_with_us`.
    Raises StartFailed if the command cannot be run.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        log: Path | None = None,
        keep_open: Sequence[int] = (),
    ) -> None:
        self.name, self.log = name, log
        output = log.open("ab") if log else None
        try:
            self._process = subprocess.Popen(
                command,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT if output else None,
                start_new_session=True,
                pass_fds=keep_open,
                preexec_fn=_die_with_us(),
            )
        except OSError as error:
            raise StartFailed(f"cannot start {name} ({command[0]}): {error.strerror}") from error
        finally:
            if output:
                output.close()

    @property
    def pid(self) -> int:
        """The id of the process and of its process group."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """The exit code, negative for a signal, or None while it runs."""
        return self._process.poll()

    def check(self) -> None:
        """Raise ChildExited if it has ended."""
        code = self.exit_code
        if code is not None:
            raise ChildExited(self.name, code, self.log)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self._process.terminate()

    def kill(self) -> None:
        """Send SIGKILL to its process group."""
        if self.exit_code is None:
            os.killpg(self.pid, signal.SIGKILL)


def stop(children: Iterable[Child], within_s: float) -> None:
    """Send SIGTERM to all, wait until they have ended, and kill them after `within_s` seconds."""
    children = list(children)
    for child in children:
        child.terminate()
    deadline = time.monotonic() + within_s
    while any(child.exit_code is None for child in children):
        if time.monotonic() > deadline:
            for child in children:
                child.kill()
        time.sleep(POLL_INTERVAL_S)


def _die_with_us() -> Callable[[], None] | None:
    """The function that the child runs before exec so that the kernel stops it when we die.

    After `kill -9` none of our code runs, and children in sessions of their own would stay behind
    with the port and the folder. The signal comes at the death of the *thread* that forked. Only
    Linux has it. Nothing is imported or loaded after the fork, where that could deadlock.
    """
    if sys.platform != "linux":
        return None
    libc, us = ctypes.CDLL(None), os.getpid()

    def ask_the_kernel() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != us:  # We died between fork and prctl: the signal will never come.
            os._exit(1)

    return ask_the_kernel


FIRST_BACKOFF_S, MAX_BACKOFF_S = 0.5, 30.0
STABLE_AFTER_S = 60.0  # the backoff of a process that has lived this long begins anew


class RestartingProcess:
    """Holds `child`, which `start` starts, and restarts it with exponential backoff.

    It never gives up: the cause, such as a port in use or a full disk, may go away.
    """

    def __init__(
        self,
        start: Callable[[], Child],
        child: Child | None = None,
        max_backoff_s: float = MAX_BACKOFF_S,
    ) -> None:
        self._start = start
        self._max_backoff_s = max_backoff_s
        self._pauses = backoff(FIRST_BACKOFF_S, max_backoff_s)
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
                self._pauses = backoff(FIRST_BACKOFF_S, self._max_backoff_s)
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
