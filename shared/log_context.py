"""The context of log lines: the job, segment, request and worker that a line is about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

Values = dict[str, str]
# Of the process, for lines of every thread.
_of_process: Values = {}
_context: ContextVar[Values | None] = ContextVar("log_context", default=None)


@contextmanager
def log_context(**values: str) -> Iterator[Values]:
    """Put values into every line that this task or thread logs within, beside the outer ones.

    Yields the values, which may be changed: a thread that gets a copy of the context, as those of
    `run_in_threadpool` do, shares them.
    """
    token = _context.set({**(_context.get() or {}), **values})
    try:
        yield _context.get() or {}
    finally:
        _context.reset(token)


def add_to_context(**values: str) -> None:
    """Add values to the innermost `log_context`; outside of one, do nothing."""
    current = _context.get()
    if current is not None:
        current |= values


def set_process_context(**values: str) -> None:
    """Put values into every line of this process, such as the name of its worker."""
    _of_process.update(values)


def task_values() -> Mapping[str, str]:
    """The values of the innermost `log_context`; empty outside of one."""
    return _context.get() or {}


def context_values() -> Values:
    """All values for a line that is logged here: of the process, and of the task or thread."""
    return {**_of_process, **(_context.get() or {})}
