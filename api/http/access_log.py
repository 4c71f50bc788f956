"""The log's line for each request: the route, the owner, and the outcome.

Lines are `name=value` pairs. A value that is no plain word is written as a JSON string, so that no
value can look like another line or another pair. Tokens and paths are never written.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping, MutableMapping
from typing import Any

from shared.log_context import add_to_context, task_values

_log = logging.getLogger(__name__)
_PLAIN = re.compile(r"[!#-<>-~]+")  # printable ASCII but space, " and =
_PLAIN_LINE = re.compile(r"[ !#-~]+")
_REFUSED = (401, 403)
# The client went away before there was an answer: the status that nginx logs.
CLIENT_GONE = 499
HEALTH_PATHS = ("/health", "/healthz", "/readyz")


def add_to_log(**values: str) -> None:
    """Add values to all lines of the current request; outside a request, do nothing."""
    add_to_context(**values)


def noted_owner() -> str | None:
    """The owner of the current request's key, once it was read; None without one."""
    notes = task_values()
    return notes.get("owner") if "key" in notes else None


def request_id() -> str:
    """The id of the current request; empty outside of one."""
    return task_values().get("request", "")


def log_action(action: str, **values: str) -> None:
    """Log that the current request cancelled, deleted or replaced something, and for which owner.

    It is logged whatever TTS_LOG_REQUESTS says.
    """
    notes = task_values()
    by = {name: notes[name] for name in ("owner", "key", "request") if name in notes}
    said = {"action": action, **values, **by}
    _log.info("%s", _line(said), extra={"fields": said})


def log_request(
    scope: MutableMapping[str, Any],
    notes: Mapping[str, str],
    status: int,
    seconds: float,
    *,
    is_wanted: bool,
) -> None:
    """Log a request that has ended; refused ones whether wanted or not, with the client."""
    route = getattr(scope.get("route"), "path", "-")
    said = {
        "method": scope["method"],
        "route": route,
        "status": str(status),
        "ms": f"{1_000 * seconds:.1f}",
        **notes,
    }
    fields: dict[str, Any] = {**said, "status": status, "ms": round(1_000 * seconds, 1)}
    if status in _REFUSED:
        client = scope.get("client")
        said["client"] = fields["client"] = client[0] if client else "-"
        _log.warning("%s", _line(said), extra={"fields": fields})
        return
    level = logging.DEBUG if route in HEALTH_PATHS else logging.INFO
    if is_wanted and _log.isEnabledFor(level):
        # `_log.log` would look for the place in the code that logs the line, which takes time.
        record = logging.LogRecord(_log.name, level, __file__, 0, _line(said), None, None)
        record.fields = fields
        _log.handle(record)


def _line(values: dict[str, str]) -> str:
    line = " ".join([f"{name}={value}" for name, value in values.items()])
    # Most lines have plain values only, and one match of the whole line shows that fastest.
    if _PLAIN_LINE.fullmatch(line) and line.count("=") == len(values) == line.count(" ") + 1:
        return line
    quoted = {
        name: value if _PLAIN.fullmatch(value) else json.dumps(value).replace("\x7f", "\\u007f")
        for name, value in values.items()
    }
    return " ".join([f"{name}={value}" for name, value in quoted.items()])
