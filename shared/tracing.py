"""Traces: the spans of a job from its request to its webhook, sent by OpenTelemetry if wanted.

This module imports none of it. Until `configure` switches traces on, every function here does
nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, Protocol

from shared.errors import InvalidSetting

if TYPE_CHECKING:
    from shared.otel import Traces

Value = str | int | float
Wanted = Literal["auto"] | bool
Kind = Literal["internal", "server", "client", "consumer"]
# Those of the specification of OTLP: one of them switches traces on with TTS_TRACING=auto.
ENDPOINT_VARIABLES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
SHUTDOWN_TIMEOUT_S = 2.0
_traces: Traces | None = None


class Span(Protocol):
    """A span under way."""

    def rename(self, name: str) -> None:
        """Give it another name."""

    def add(self, **attributes: Value) -> None:
        """Add attributes; in their names, `__` stands for a dot."""

    def fail(self, reason: str) -> None:
        """Mark it as failed."""


class NoSpan:
    """The span while traces are off."""

    def rename(self, name: str) -> None:
        """Do nothing."""

    def add(self, **attributes: Value) -> None:
        """Do nothing."""

    def fail(self, reason: str) -> None:
        """Do nothing."""


NO_SPAN = NoSpan()


def configure(service: str, wanted: Wanted) -> None:
    """Switch traces on if they are wanted; raises `InvalidSetting` if the packages are missing.

    `auto`: if an OTLP endpoint is named in the environment. Called again, it does nothing.
    """
    global _traces  # one of a process, as its log is
    if wanted == "auto":
        wanted = any(os.environ.get(name) for name in ENDPOINT_VARIABLES)
    if not wanted or _traces is not None:
        return
    try:
        # Imported late: most deployments have no traces, and need none of these packages.
        from shared.otel import Traces
    except ModuleNotFoundError as error:
        raise InvalidSetting(
            f"traces need the package {error.name}: pip install 'qwen-tts-queue[tracing]', or set "
            "TTS_TRACING=0",
            param="TTS_TRACING",
        ) from error
    _traces = Traces(service)


def is_on() -> bool:
    """True once traces are switched on."""
    return _traces is not None


@contextmanager
def span(
    name: str, *, parent: str | None = None, kind: Kind = "internal", **attributes: Value
) -> Iterator[Span]:
    """A span around what is done within; an error that passes marks it as failed.

    `parent` is a `traceparent` (W3C); without it, the parent is the span around this one.
    """
    if _traces is None:
        yield NO_SPAN
        return
    with _traces.span(name, parent, kind, attributes) as begun:
        yield begun


def record(name: str, begun_s: float, ended_s: float, *, parent: str | None) -> None:
    """Record a span that has ended already, between two times in Unix seconds."""
    if _traces is not None:
        _traces.record(name, begun_s, ended_s, parent)


def traceparent() -> str | None:
    """The current span as `traceparent` (W3C); None outside of one."""
    return _traces.traceparent() if _traces is not None else None


def trace_id() -> str | None:
    """The id of the current trace, as log lines have it; None outside of one."""
    return _traces.trace_id() if _traces is not None else None


def shutdown() -> None:
    """Send the spans that are left, for `SHUTDOWN_TIMEOUT_S` seconds at the most, and stop."""
    global _traces
    if _traces is not None:
        _traces.shutdown(SHUTDOWN_TIMEOUT_S)
        _traces = None
