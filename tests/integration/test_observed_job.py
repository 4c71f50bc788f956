"""One job as an operator sees it: its lines of all processes, its history, its trace."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
import pytest

from client.cli import main
from client.local.stack import Stack
from tests.support.otlp_collector import CollectedSpan, Collector
from tests.support.processes import wait_until
from tests.support.receiver import receiving

pytestmark = pytest.mark.integration
TRACE_ID, CLIENT_SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
BODY = {"task": "custom_voice", "voice": "vivian", "input": "The lamp was lit."}


def lines(stack: Stack, log: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (stack.logs / log).read_text().splitlines()]


def test_a_job_is_found_in_all_logs_in_its_history_and_as_one_trace(
    stack: Stack, collector: Collector, capsys: pytest.CaptureFixture[str]
) -> None:
    with receiving() as receiver:
        headers = {"x-request-id": "r-1", "traceparent": f"00-{TRACE_ID}-{CLIENT_SPAN}-01"}
        body = BODY | {"webhook": receiver.url}
        sent = httpx.post(f"{stack.url}/v1/jobs", json=body, headers=headers)
        job = sent.raise_for_status().json()["id"]
        wait_until(lambda: receiver.got, 60)
        wait_until(lambda: spans_named(collector, "webhook"), 60)
        wait_until(lambda: spans_named(collector, "POST /v1/jobs"), 60)
        wait_until(lambda: spans_named(collector, "join"), 60)
    assert main(["logs", job, "--url", stack.url]) == 0
    worker = has_its_lines(stack, job)
    has_its_history(capsys.readouterr().out, worker)
    is_one_trace(collector.spans(TRACE_ID), job)


def spans_named(collector: Collector, name: str) -> list[CollectedSpan]:
    return [span for span in collector.spans(TRACE_ID) if span.name == name]


def has_its_lines(stack: Stack, job: str) -> str:
    """Both processes name the job, its request and its trace; returns the worker's name."""
    of_api = [line for line in lines(stack, "api.log") if line.get("job") == job]
    (accepted,) = [line for line in of_api if line.get("status") == 202]
    assert (accepted["route"], accepted["request"]) == ("/v1/jobs", "r-1")
    (delivered,) = [line for line in of_api if line["message"].startswith("Webhook")]
    of_worker = [
        line
        for line in lines(stack, "worker-tiny-CustomVoice-1.log")
        if line.get("job") == job and line["level"] == "info"
    ]
    assert [line["segment"] for line in of_worker] == ["0", "join"]
    assert {line["owner"] for line in (accepted, *of_worker)} == {"public"}
    for line in (accepted, delivered, *of_worker):
        assert (line["request"], line["trace_id"]) == ("r-1", TRACE_ID)
    (worker,) = {line["worker"] for line in of_worker}
    return str(worker)


def has_its_history(printed: str, worker: str) -> None:
    told = [re.sub(r"^\S+ \S+  (segment 0|job|join) +", "", line) for line in printed.splitlines()]
    assert told == [
        "accepted, 1 segment, request r-1",
        "queued, all of it",
        f"claimed, attempt 1, by {worker}",
        f"claimed, attempt 1, by {worker}",
        f"joined into one file, by {worker}",
        "completed",
        "webhook delivered, job.completed, attempt 1 (200)",
    ]


def is_one_trace(spans: list[CollectedSpan], job: str) -> None:
    named = {span.name: span for span in spans}
    request = named["POST /v1/jobs"]
    assert request.parent_id == CLIENT_SPAN
    assert request.attributes["http.response.status_code"] == 202
    for name in ("admit", "queue wait", "claim", "segment", "join", "webhook"):
        assert named[name].parent_id == request.span_id, name
    for name in ("synthesise", "store"):
        assert named[name].parent_id == named["segment"].span_id, name
    commits = [span.parent_id for span in spans if span.name == "commit"]
    assert sorted(commits) == sorted([named["segment"].span_id, named["join"].span_id])
    services = {span.service: span.name for span in spans}
    assert set(services) == {"qwen-tts-api", "qwen-tts-worker"}
    assert named["segment"].attributes["tts.job"] == job
    assert not any(span.has_failed for span in spans)
    waited, spoken = named["queue wait"], named["synthesise"]
    assert waited.begun_ns <= waited.ended_ns <= spoken.ended_ns


def test_processes_say_what_they_are_and_when_they_are_ready(stack: Stack) -> None:
    redis = r"Redis redis://127\.0\.0\.1:\d+/0, storage file:///"
    of_api = "\n".join(line["message"] for line in lines(stack, "api.log"))
    assert re.search(rf"^qwen-tts-queue \S+: API on {stack.url}, {redis}", of_api, re.MULTILINE)
    assert re.search(r"^Ready: jobs are accepted; live workers: \d$", of_api, re.MULTILINE)
    of_worker = [line["message"] for line in lines(stack, "worker-tiny-CustomVoice-1.log")]
    assert re.match(rf"qwen-tts-queue \S+: worker \S+ for tiny-CustomVoice, {redis}", of_worker[0])
    assert "Ready: takes segments from tts.tiny-CustomVoice" in of_worker
    model = (
        r"tiny-CustomVoice: custom_voice, float32 by .+ and .+, on 1 threads of the CPU, 16 slots"
    )
    assert any(re.match(model, line) for line in of_worker)
    password = stack.redis.url.partition(":")[2].partition("@")[0].rpartition(":")[2]
    assert len(password) > 20
    assert all(password not in path.read_text() for path in stack.logs.glob("*.log"))
