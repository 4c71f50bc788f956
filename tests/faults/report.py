"""What the suite found: a row for each fault, printed at the end and written as JSON."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Row:
    """One fault: how often it was injected, what was lost or done twice, and how recovery went."""

    fault: str
    repetitions: int = 0
    lost: int = 0
    doubled: int = 0
    recoveries_s: list[float] = field(default_factory=list)
    passed: bool = False
    note: str = ""

    def recovered(self, seconds: float) -> None:
        self.repetitions += 1
        self.recoveries_s.append(seconds)

    def figures(self) -> dict[str, Any]:
        times = sorted(self.recoveries_s)
        cuts = statistics.quantiles(times, n=100, method="inclusive") if len(times) > 1 else times
        return {
            "fault": self.fault,
            "repetitions": self.repetitions,
            "lost": self.lost,
            "doubled": self.doubled,
            "recovery_p50_s": round(statistics.median(times), 2) if times else None,
            "recovery_p99_s": round(cuts[-1], 2) if times else None,
            "recovery_max_s": round(times[-1], 2) if times else None,
            "passed": self.passed,
            "note": self.note,
        }


class Report:
    """All rows of a run."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    @contextmanager
    def row(self, fault: str) -> Iterator[Row]:
        """A row that has passed if nothing is raised."""
        row = Row(fault)
        self.rows.append(row)
        yield row
        assert (row.lost, row.doubled) == (0, 0)
        row.passed = True

    def table(self) -> str:
        names = f"{'times':>6} {'lost':>5} {'doubled':>8} {'p50':>6} {'p99':>6} {'max':>6}"
        lines = [f"{'fault':<44} {names}"]
        for row in self.rows:
            told = row.figures()
            times = (told[f"recovery_{name}_s"] for name in ("p50", "p99", "max"))
            shown = " ".join(f"{'–' if value is None else value:>6}" for value in times)
            verdict = "" if row.passed else "  FAILED"
            lines.append(
                f"{row.fault:<44} {row.repetitions:>6} {row.lost:>5} {row.doubled:>8} "
                f"{shown}{verdict}"
            )
            lines += [f"     {row.note}"] * bool(row.note)
        return "\n".join(lines)

    def write(self, path: Path) -> None:
        rows = [row.figures() for row in self.rows]
        path.write_text(json.dumps({"rows": rows}, indent=2) + "\n")
