"""The log's line for each request: the route, the owner, and the outcome.

Lines are `name=value` pairs. A value that is no plain word is written as a JSON string, so that no
value can look like another line or another pair. Tokens and paths are never written.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_log = logging.getLogger(__name__)
_PLAIN = re.compile(r"[!#-<>-~]+")  # printable ASCII but space, " and =
_PLAIN_LINE = re.compile(r"[ !#-~]+")
_REFUSED = (401, 403)
# The client went away before there was an answer: the status that nginx logs.
CLIENT_GONE = 499
_HEALTH = ("/health", "/healthz", "/readyz")
_notes: ContextVar[dict[str, str] | None] = ContextVar("notes", default=None)


@contextmanager
def request_log(request_id: str) -> Iterator[dict[str, str]]:
    """Collect the values of one request's line."""
    notes = {"request": request_id}
    token = _notes.set(notes)
    try:
        yield notes
    finally:
        _notes.reset(token)


def add_to_log(**values: str) -> None:
    """Add values to the line of the current request; outside a request, do nothing."""
    notes = _notes.get()
    if notes is not None:
        notes |= values


def noted_owner() -> str | None:
    """The owner of the current request's key, once it was read; None without one."""
    notes = _notes.get() or {}
    return notes.get("owner") if "key" in notes else None


def request_id() -> str:
    """The id of the current request; empty outside of one."""
    return (_notes.get() or {}).get("request", "")


def log_action(action: str, **values: str) -> None:
    """Log that the current request cancelled, deleted or replaced something, and for which owner.

    It is logged whatever TTS_LOG_REQUESTS says.
    """
    notes: dict[str, str] = _notes.get() or {}
    by: dict[str, str] = {
        name: notes[name] for name in ("owner", "key", "request") if name in notes
    }
    _log.info("%s", _line({"action": action, **values, **by}))


def log_request(
    scope: MutableMapping[str, Any],
    notes: dict[str, str],
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
    if status in _REFUSED:
        client = scope.get("client")
        _log.warning("%s", _line({**said, "client": client[0] if client else "-"}))
        return
    level = logging.DEBUG if route in _HEALTH else logging.INFO
    if is_wanted and _log.isEnabledFor(level):
        # `_log.log` would look for the place in the code that logs the line, which takes time.
        _log.handle(logging.LogRecord(_log.name, level, __file__, 0, _line(said), None, None))


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
