"""Output to the terminal: results on stdout, everything else on stderr."""

from __future__ import annotations

from rich.console import Console

OUT = Console(highlight=False)
ERR = Console(stderr=True, highlight=False)


def say(line: str) -> None:
    """Print a result."""
    _print(OUT, line)


def note(line: str) -> None:
    """Print a note about the work in progress."""
    _print(ERR, line)


def error(message: str) -> None:
    """Print an error as one line."""
    _print(ERR, f"narrate: {message}")


def _print(console: Console, line: str) -> None:
    # Parts of a line come from servers and files: no markup, no control characters, no wrapping.
    plain = "".join(char if char.isprintable() else " " for char in line)
    console.print(plain, markup=False, emoji=False, soft_wrap=True)
