"""The observer of an engine's work, for metrics; the engine itself counts nothing."""

from __future__ import annotations


class Observer:
    """Told of each step and each prefill, on the engine's thread: it must return at once.

    This one ignores what it is told.
    """

    def stepped(self, rows: int, seconds: float, *, left: int) -> None:
        """A step made a frame of each of `rows`, of which `left` go on."""

    def prefilled(self, seconds: float) -> None:
        """A prompt was read, which took `seconds` of computing, steps of others not included."""
