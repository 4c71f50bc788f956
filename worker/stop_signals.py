"""Ctrl-C and SIGHUP stop a worker as SIGTERM does."""

from __future__ import annotations

import signal
from types import FrameType

from celery import Celery
from celery.bootsteps import StartStopStep

ALIKE = (signal.SIGINT, signal.SIGHUP)


class StopSignals(StartStopStep):
    """The last word on these signals, after Celery has set up its own.

    At SIGHUP Celery would start `sys.argv` anew, which is no command after `python -m`; at Ctrl-C
    it would end with 1.
    """

    @classmethod
    def add_to(cls, app: Celery) -> None:
        """Let the workers of an application have this step."""
        app.steps["worker"].add(cls)

    def start(self, _worker: object) -> None:
        """Set up the signals."""
        for number in ALIKE:
            signal.signal(number, _stop)


def _stop(_number: int, _frame: FrameType | None) -> None:
    signal.raise_signal(signal.SIGTERM)
