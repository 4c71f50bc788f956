"""The log of every process, on standard error: text to read, or a JSON object for each line."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from shared import tracing
from shared.log_context import context_values

_OWN_PACKAGES = ("api", "shared", "worker")
# Values of the context that text lines have, too, in this order; JSON has all.
_TEXT_CONTEXT = ("job", "segment", "request", "worker", "trace_id")
_log = logging.getLogger(__name__)


def configure(level: str, form: str = "text") -> None:
    """Log the project's own modules at `level`, libraries from warnings on; `form` text or json."""
    written = logging.StreamHandler()
    written.setFormatter(JsonLine() if form == "json" else OneLine())
    # Unused in the format, and costly for each request.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.basicConfig(level="WARNING", handlers=[written], force=True)
    logging.captureWarnings(True)
    if form == "json":
        sys.excepthook = _log_uncaught
        threading.excepthook = lambda args: _log_uncaught(
            args.exc_type, args.exc_value, args.exc_traceback
        )
    for name in _OWN_PACKAGES:
        logging.getLogger(name).setLevel(level.upper())


def _log_uncaught(
    kind: type[BaseException], error: BaseException | None, traceback: TracebackType | None
) -> None:
    """Log an error that nothing caught: Python's own lines would be no JSON."""
    caught = (kind, error or kind(), traceback)
    _log.critical("An error that was not expected: %s", kind.__name__, exc_info=caught)


def fatal(error: Exception) -> str:
    """The last line of a process that cannot start, for `sys.exit`, in the form of its log."""
    handlers = logging.getLogger().handlers
    if not any(isinstance(each.formatter, JsonLine) for each in handlers):
        return f"error: {error}"
    record = logging.LogRecord(__name__, logging.CRITICAL, "", 0, "%s", (error,), None)
    return JsonLine().format(record)


class OneLine(logging.Formatter):
    """Writes a message as one line: control characters, which a client may have sent, are escaped.

    The values of the context that the message does not name itself come after it. Only a traceback
    has lines of its own, which are indented: none can look like the line of another record.
    """

    def __init__(self, style: str = "%(asctime)s %(levelname)s %(message)s") -> None:
        super().__init__(style)

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        values = _context()
        named = [
            f" {name}={values[name]}"
            for name in _TEXT_CONTEXT
            if name in values and f"{name}=" not in record.message
        ]
        return _escape("".join([super().formatMessage(record), *named]))

    def formatException(self, ei: Any) -> str:
        """The lines of a traceback, whose error may repeat what a client sent."""
        return "\n".join(f"  {_escape(line)}" for line in super().formatException(ei).split("\n"))


class JsonLine(logging.Formatter):
    """Writes a record as one JSON object: time (RFC 3339, UTC), level, logger, message and context.

    JSON escapes control characters, and here all that is not ASCII. The `fields` of a record, as
    the log of requests has them, are members, too; a traceback is the member `exception`.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {
            "time": at.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_context(),
            **_fields(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = record.stack_info
        return json.dumps(line)


def _escape(line: str) -> str:
    if line.isprintable():
        return line
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in line)


def _context() -> dict[str, str]:
    """The context of a line, with the id of the current trace if there is one."""
    values = context_values()
    if trace_id := tracing.trace_id():
        values["trace_id"] = trace_id
    return values


def _fields(record: logging.LogRecord) -> Mapping[str, Any]:
    """The members that the logging call gave as `extra={"fields": …}`."""
    fields: Mapping[str, Any] = getattr(record, "fields", {})
    return fields
