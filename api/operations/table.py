"""Tables in the terminal, for the operators' commands."""

from __future__ import annotations

import time
from collections.abc import Sequence


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table, each column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    return [
        "  ".join(part.ljust(width) for part, width in zip(row, widths, strict=True)).rstrip()
        for row in (heads, *rows)
    ]


def local_minute(at_s: float) -> str:
    """A time in Unix seconds as a local date and time."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at_s))
