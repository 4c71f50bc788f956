"""The one place that writes to the terminal: results on stdout, everything else on stderr."""

from rich.console import Console

OUT = Console(highlight=False)
ERR = Console(stderr=True, highlight=False)


def say(line: str) -> None:
    """Print a result."""
    _print(OUT, line)


def note(line: str) -> None:
    """Print something about the work under way."""
    _print(ERR, line)


def error(message: str) -> None:
    """Print an error as one line."""
    _print(ERR, f"narrate: {message}")


def _print(console: Console, line: str) -> None:
    # Parts of it come from servers and files: no markup, no control characters, no wrapping.
    plain = "".join(char if char.isprintable() else " " for char in line)
    console.print(plain, markup=False, emoji=False, soft_wrap=True)
