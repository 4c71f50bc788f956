"""Watches the steps of an engine."""

from __future__ import annotations

import itertools
import time
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

from worker.engine.runner import TalkerRunner
from worker.engine.sequence import Sequence


@dataclass
class Steps:
    """When steps ended, how many frames each made, and how many requests had joined by then."""

    ends_s: list[float] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    joined: list[int] = field(default_factory=list)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watch every runner for a while."""
        step, admit = TalkerRunner.step, TalkerRunner.admit
        count = 0

        def admitting(runner: TalkerRunner, sequence: Sequence) -> None:
            nonlocal count
            count += 1
            admit(runner, sequence)

        def stepping(runner: TalkerRunner) -> Any:
            rows = len(runner)
            ended = step(runner)
            self.ends_s.append(time.perf_counter())
            self.rows.append(rows)
            self.joined.append(count)
            return ended

        with (
            patch.object(TalkerRunner, "step", stepping),
            patch.object(TalkerRunner, "admit", admitting),
        ):
            yield

    def between(self, slots: int, joined: int) -> tuple[float, list[float]]:
        """From the first step of all slots to the last before so many had joined.

        Returns frames a second and the seconds of each step.
        """
        first = self.rows.index(slots)
        last = bisect_left(self.joined, joined)
        times = self.ends_s[first:last]
        waits = [after - before for before, after in itertools.pairwise(times)]
        return sum(self.rows[first + 1 : last]) / sum(waits), waits
