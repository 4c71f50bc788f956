"""Traces: off they cost nothing, on they are exported over HTTP, and what is missing is named."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest

from shared import tracing
from shared.errors import InvalidSetting
from shared.logs import JsonLine
from tests.support.otlp_collector import Collector, collecting

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE_ID, SPAN_ID = PARENT.split("-")[1:3]


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*tracing.ENDPOINT_VARIABLES, "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        tracing.configure("service", "auto")
        yield collector
        tracing.shutdown()


def test_spans_are_exported_beneath_the_callers(collector: Collector) -> None:
    with tracing.span("outer", parent=PARENT, kind="server", http__route="/v1") as outer:
        assert tracing.trace_id() == TRACE_ID
        inside = tracing.traceparent()
        with pytest.raises(ValueError, match="no"), tracing.span("inner"):
            raise ValueError("no")
        outer.rename("GET /v1")
        outer.add(tts__job="j1")
    tracing.record("wait", 10.0, 12.5, parent=inside)
    tracing.shutdown()
    wait, server, inner = collector.spans(TRACE_ID)
    assert (server.name, server.parent_id, server.service) == ("GET /v1", SPAN_ID, "service")
    assert server.attributes == {"http.route": "/v1", "tts.job": "j1"}
    assert (inner.name, inner.parent_id, inner.has_failed) == ("inner", server.span_id, True)
    assert not server.has_failed
    assert (wait.name, wait.parent_id) == ("wait", server.span_id)
    assert (wait.begun_ns, wait.ended_ns) == (10_000_000_000, 12_500_000_000)
    assert inside == f"00-{TRACE_ID}-{server.span_id}-01"


def test_a_line_of_the_log_names_its_trace(collector: Collector) -> None:
    record = logging.LogRecord("n", logging.INFO, "f", 1, "said", (), None)
    with tracing.span("outer", parent=PARENT):
        assert json.loads(JsonLine().format(record))["trace_id"] == TRACE_ID
    assert "trace_id" not in json.loads(JsonLine().format(record))
    assert collector.endpoint


def test_a_traceparent_that_is_none_begins_a_trace(collector: Collector) -> None:
    with tracing.span("outer", parent="00-zz\x00"):
        pass
    tracing.shutdown()
    (span,) = collector.spans()
    assert span.parent_id == ""


def test_a_collector_that_is_away_holds_up_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "SHUTDOWN_TIMEOUT_S", 0.1)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    tracing.configure("service", True)
    with tracing.span("outer"):
        pass
    tracing.shutdown()
    assert not tracing.is_on()


@pytest.mark.parametrize("wanted", ["auto", False])
def test_traces_are_off_by_default(wanted: tracing.Wanted) -> None:
    tracing.configure("service", wanted)
    with tracing.span("outer", parent=PARENT) as span:
        span.add(a=1)
        span.rename("x")
        span.fail("why")
        assert (tracing.traceparent(), tracing.trace_id()) == (None, None)
    tracing.record("x", 1, 2, parent=PARENT)
    assert not tracing.is_on()


def test_off_wins_over_an_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    tracing.configure("service", False)
    assert not tracing.is_on()


def test_without_traces_nothing_of_them_is_imported() -> None:
    # redis-py imports opentelemetry's API and metrics by itself where they are installed.
    code = (
        "import sys, api.__main__, worker.segment_task; from shared import tracing\n"
        "tracing.configure('x', 'auto')\n"
        "names = ('shared.otel', 'opentelemetry.sdk.trace.export', 'opentelemetry.exporter')\n"
        "print([name for name in names if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_missing_packages_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("opentelemetry", "shared.otel"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(InvalidSetting, match=r"pip install 'qwen-tts-queue\[tracing\]'"):
        tracing.configure("service", True)
