"""One log format for every process, on standard error."""

from __future__ import annotations

import logging

_OWN_PACKAGES = ("api", "shared", "worker")


def configure(level: str) -> None:
    """Log the project's own modules at `level`, libraries from warnings on."""
    written = logging.StreamHandler()
    written.setFormatter(OneLine("%(asctime)s %(levelname)s %(message)s"))
    # Unused in the format, and costly for each request.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.basicConfig(level="WARNING", handlers=[written], force=True)
    for name in _OWN_PACKAGES:
        logging.getLogger(name).setLevel(level.upper())


class OneLine(logging.Formatter):
    """Writes a message as one line: control characters, which a client may have sent, are escaped.

    Only a traceback has lines of its own.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        line = super().formatMessage(record)
        if line.isprintable():
            return line
        return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in line)
