"""A collector of traces on loopback: it reads what OTLP's exporter sends over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.receiver import Receiver, receiving


class CollectedSpan(NamedTuple):
    """A span as it was exported; ids in hex, times in nanoseconds."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    begun_ns: int
    ended_ns: int
    has_failed: bool
    attributes: dict[str, str | int]


class Collector:
    """The spans that a receiver has got."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self.endpoint = f"http://127.0.0.1:{receiver.port}"

    def spans(self, trace_id: str | None = None) -> list[CollectedSpan]:
        """All spans, or those of one trace, in the order in which they began."""
        found = [span for got in list(self._receiver.got) for span in _read(got.body)]
        found.sort(key=lambda span: span.begun_ns)
        return [span for span in found if trace_id in (None, span.trace_id)]


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector that listens."""
    with receiving() as receiver:
        receiver.content = b""
        yield Collector(receiver)


def _read(body: bytes) -> Iterator[CollectedSpan]:
    request = ExportTraceServiceRequest.FromString(body)
    for resource in request.resource_spans:
        service = _attributes(resource.resource)["service.name"]
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield CollectedSpan(
                    service=str(service),
                    name=span.name,
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    begun_ns=span.start_time_unix_nano,
                    ended_ns=span.end_time_unix_nano,
                    has_failed=span.status.code == span.status.STATUS_CODE_ERROR,
                    attributes=_attributes(span),
                )


def _attributes(of: Any) -> dict[str, str | int]:
    return {each.key: each.value.string_value or each.value.int_value for each in of.attributes}
