"""OpenTelemetry behind `shared.tracing`, which imports this module only if traces are on.

The endpoint, its headers, the sampler and the sizes of batches are settings of OpenTelemetry's own:
its `OTEL_…` variables.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_FIELD = "traceparent"
_PROPAGATOR = TraceContextTextMapPropagator()


class OpenSpan:
    """A span under way, as `shared.tracing.Span`."""

    def __init__(self, span: Span) -> None:
        self._span = span

    def rename(self, name: str) -> None:
        """Give it another name."""
        self._span.update_name(name)

    def add(self, **attributes: str | int | float) -> None:
        """Add attributes; in their names, `__` stands for a dot."""
        self._span.set_attributes(_dotted(attributes))

    def fail(self, reason: str) -> None:
        """Mark it as failed."""
        self._span.set_status(Status(StatusCode.ERROR, reason))


class Traces:
    """The traces of one process, sent in batches by a thread of their own.

    A collector that is away delays nothing: spans wait in a bounded queue, and those that do not
    fit in are dropped.
    """

    def __init__(self, service: str) -> None:
        resource = {"service.version": version("qwen-tts-queue")}
        named = "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
        if not named and not os.environ.get("OTEL_SERVICE_NAME"):
            resource["service.name"] = service
        self._provider = TracerProvider(resource=Resource.create(resource), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("qwen-tts-queue")

    @contextmanager
    def span(
        self, name: str, parent: str | None, kind: str, attributes: Mapping[str, str | int | float]
    ) -> Iterator[OpenSpan]:
        """A span around what is done within."""
        with self._tracer.start_as_current_span(
            name,
            context=_context(parent),
            kind=SpanKind[kind.upper()],
            attributes=_dotted(attributes),
        ) as begun:
            yield OpenSpan(begun)

    def record(self, name: str, begun_s: float, ended_s: float, parent: str | None) -> None:
        """Record a span that has ended already."""
        span = self._tracer.start_span(
            name, context=_context(parent), start_time=int(begun_s * 1e9)
        )
        span.end(int(max(begun_s, ended_s) * 1e9))

    def traceparent(self) -> str | None:
        """The current span as `traceparent`; None outside of one."""
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier)
        return carrier.get(_FIELD)

    def trace_id(self) -> str | None:
        """The id of the current trace; None outside of one."""
        context = get_current_span().get_span_context()
        return f"{context.trace_id:032x}" if context.is_valid else None

    def shutdown(self, timeout_s: float) -> None:
        """Send the spans that are left, and stop; a collector that is away is not waited for."""
        thread = threading.Thread(target=self._provider.shutdown, daemon=True)
        thread.start()
        thread.join(timeout_s)


def _context(parent: str | None) -> Context | None:
    """The context of a `traceparent`; None, which is the current one, without it."""
    return _PROPAGATOR.extract({_FIELD: parent}, Context()) if parent else None


def _dotted(attributes: Mapping[str, str | int | float]) -> dict[str, str | int | float]:
    return {name.replace("__", "."): value for name, value in attributes.items()}
