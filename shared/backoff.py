"""Exponential backoff."""

from __future__ import annotations

from collections.abc import Iterator


def backoff(first_s: float, max_s: float) -> Iterator[float]:
    """Endless pauses that double up to `max_s` seconds: 1, 2, 4, 5, 5, … for 1 and 5."""
    pause_s = min(first_s, max_s)
    while True:
        yield pause_s
        pause_s = min(2 * pause_s, max_s)
