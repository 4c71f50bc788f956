"""One log format for every process, on standard error."""

from __future__ import annotations

import logging

_OURS = ("api", "shared", "worker")


def configure(level: str) -> None:
    """Log ours at `level`; the libraries only where they warn."""
    logging.basicConfig(level="WARNING", format="%(asctime)s %(levelname)s %(message)s", force=True)
    for name in _OURS:
        logging.getLogger(name).setLevel(level.upper())
