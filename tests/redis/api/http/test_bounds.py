"""Everything in a request has a bound, and what is over it costs next to nothing."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import product
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from pydantic import TypeAdapter
from redis import Redis

from api.batches.submit import RequestLine
from api.http import bounds
from api.http.bounds import MAX_JSON_TOKENS, check_json
from shared.errors import InvalidRequest
from shared.models import ModelCard
from shared.settings import ENV_PREFIX, Settings
from tests.support.live_server import serving
from tests.support.registered_workers import sign_in
from tests.support.valid_job import VALID_JOB

Schema = dict[str, Any]
JSON = {"Content-Type": "application/json"}
JSONL = {"Content-Type": "application/jsonl"}
BOUNDS = {
    "string": {"maxLength", "enum", "const"},
    "array": {"maxItems"},
    "object": {"maxProperties"},
}


def unbounded(schema: Schema, known: Schema, place: str, seen: frozenset[str]) -> Iterator[str]:
    """The places of a schema where something of any size may stand."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        if name not in seen:
            yield from unbounded(known[name], known, f"{place}.{name}", seen | {name})
        return
    named = schema.get("x-limited-by")
    for kind in ("anyOf", "oneOf", "allOf") if named is None else ():
        for each in schema.get(kind, ()):
            yield from unbounded(each, known, place, seen)
    kind = schema.get("type", "any" if not {"$ref", "anyOf", "oneOf", "enum"} & set(schema) else "")
    is_closed = kind == "object" and schema.get("additionalProperties", True) is False
    if named is not None:
        field = named.removeprefix(ENV_PREFIX).lower()
        assert field in Settings.model_fields or hasattr(bounds, named), (place, named)
    elif kind == "any" or (kind in BOUNDS and not is_closed and not BOUNDS[kind] & set(schema)):
        yield place
    if kind == "array":
        yield from unbounded(schema["items"], known, f"{place}[]", seen)
    for name, each in schema.get("properties", {}).items():
        yield from unbounded(each, known, f"{place}.{name}", seen)
    if isinstance(more := schema.get("additionalProperties"), dict):
        yield from unbounded(more, known, f"{place}.*", seen)


def test_everything_in_a_request_has_a_bound(api: TestClient) -> None:
    described = api.get("/openapi.json").json()
    known, found, walked = described["components"]["schemas"], [], 0
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            name = f"{method} {path}"
            for each in operation.get("parameters", ()):
                found += unbounded(each["schema"], known, f"{name} {each['name']}", frozenset())
                walked += 1
            for kind, content in operation.get("requestBody", {}).get("content", {}).items():
                if kind == "application/jsonl":
                    continue  # its lines are below
                found += unbounded(content["schema"], known, f"{name} {kind}", frozenset())
                walked += 1
    line = TypeAdapter(RequestLine).json_schema(ref_template="#/components/schemas/{model}")
    found += unbounded(line, line["$defs"], "a line of a batch", frozenset())
    assert found == []
    assert walked >= 40


def test_the_rule_finds_what_has_no_bound() -> None:
    bad = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "a": {"type": "string"},
            "b": {"type": "array", "maxItems": 2, "items": {"type": "string"}},
            "c": {"type": "object", "additionalProperties": {"type": "string", "maxLength": 2}},
            "d": {"anyOf": [{"type": "array", "items": {"enum": [1]}}, {"type": "null"}]},
            "e": {},
            "f": {"$ref": "#/components/schemas/F"},
        },
    }
    known = {"F": {"type": "string", "maxLength": 1}}
    found = list(unbounded(bad, known, "x", frozenset()))
    assert found == ["x.a", "x.b[]", "x.c", "x.d", "x.e"]


MANY = 300_000
NAMES = {f"a{n}": 1 for n in range(MANY)}
BOMBS = {
    "unknown fields": VALID_JOB | NAMES,
    "metadata": VALID_JOB | {"metadata": NAMES},
    "sampling": VALID_JOB | {"sampling": NAMES},
    "events": VALID_JOB
    | {"webhook": "https://x.example/", "webhook_events_filter": ["job.failed"] * MANY},
    "no events": VALID_JOB
    | {"webhook": "https://x.example/", "webhook_events_filter": ["x"] * MANY},
    "an array": [1] * MANY,
    "a voice": VALID_JOB | {"voice": {"id": "x", **NAMES}},
}


@pytest.fixture
def url(settings: Settings, redis: Redis, card: ModelCard) -> Iterator[str]:
    sign_in(redis, card)
    with serving(settings.model_copy(update={"max_body_bytes": 64 * 2**20})) as url:
        yield url


WAYS = ("/v1/jobs", "/v1/audio/speech", "/v1/batches")
CASES = [*product(WAYS, BOMBS), ("form", "metadata")]


@pytest.mark.parametrize(("way", "name"), CASES)
def test_a_body_of_many_parts_is_refused_before_it_is_read(
    url: str, redis: Redis, name: str, way: str
) -> None:
    body, before_kib = BOMBS[name], peak_kib()
    if way == "form":
        fields = {"task": "custom_voice", "voice": "vivian"}
        fields["metadata"] = json.dumps(NAMES)[:900_000]
        files = {"file": ("a.txt", b"Hello.")}
        begun_s = time.process_time()
        answer = httpx.post(f"{url}/v1/jobs", data=fields, files=files, timeout=60)
    else:
        headers = JSON
        if way == "/v1/batches":
            headers, line = JSONL, {"custom_id": "1", "url": "/v1/jobs", "body": body}
            body = line | NAMES if name == "unknown fields" else line
        sent = json.dumps(body)  # takes longer than to refuse it
        begun_s = time.process_time()
        answer = httpx.post(url + way, content=sent, headers=headers, timeout=60)
    assert answer.status_code == 400, answer.text
    assert len(answer.content) < 1_000
    assert redis.keys("tts:job:*") == []
    # Without the bound: 270 MiB and 5 s.
    assert peak_kib() - before_kib < 150 * 2**10
    assert time.process_time() - begun_s < 3


def peak_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.mark.parametrize(
    "broken",
    [b'"' + rb"\"" * 500_000, b"[" * 500_000, b'{"a' * 300_000, b"\\" * 500_000, b'"\\'],
)
def test_a_broken_body_is_read_once(broken: bytes) -> None:
    begun_s = time.process_time()
    with suppress(InvalidRequest):
        check_json(broken)
    assert time.process_time() - begun_s < 1


def test_strings_hide_what_is_in_them() -> None:
    check_json(json.dumps({"input": '", [ { \\" \\' * 100_000}).encode())
    check_json(json.dumps({"input": "\u4e2d" * 100_000}).encode())
    check_json(b"[" + b"1," * (MAX_JSON_TOKENS - 3) + b"1" + b" " * 5_000 + b"]")
    with pytest.raises(InvalidRequest):
        check_json(b"[" + b"1," * (MAX_JSON_TOKENS + 3) + b"1" + b" " * 5_000 + b"]")


def test_lines_that_are_empty_have_a_bound(url: str) -> None:
    sent = b"\n" * 8 * 2**20
    answer = httpx.post(f"{url}/v1/batches", content=sent, headers=JSONL)
    assert (answer.status_code, "empty lines" in answer.text) == (400, True)


def test_events_of_a_webhook_are_kept_once(url: str, redis: Redis) -> None:
    asked = {"webhook": "https://x.example/", "webhook_events_filter": ["job.failed"] * 4}
    job = httpx.post(f"{url}/v1/jobs", json=VALID_JOB | asked).json()
    webhook = json.loads(redis.hget(f"tts:job:{job['id']}", "webhook") or "")
    assert webhook["events"] == ["job.failed"]
    assert (
        httpx.post(
            f"{url}/v1/jobs", json=VALID_JOB | asked | {"webhook_events_filter": ["job.failed"] * 5}
        ).status_code
        == 400
    )


@pytest.mark.parametrize("field", ["model", "language", "voice"])
@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/audio/speech"])
def test_a_name_of_megabytes_is_refused(url: str, path: str, field: str) -> None:
    answer = httpx.post(url + path, json=VALID_JOB | {field: "x" * 5_000_000})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, field)
    assert len(answer.content) < 1_000


@pytest.mark.parametrize(
    "query",
    [
        "&".join(["status=queued"] * 6),
        "&".join(f"metadata[a{n}]=1" for n in range(17)),
        f"after={'x' * 200}",
    ],
)
def test_a_query_has_bounds(url: str, query: str) -> None:
    assert httpx.get(f"{url}/v1/jobs?{query}").status_code == 400


def test_headers_have_bounds(url: str) -> None:
    many = {f"x-{n}": "1" for n in range(200)}
    assert httpx.get(f"{url}/v1/jobs", headers=many).status_code == 431
    assert httpx.get(f"{url}/v1/jobs", headers={"x": "1" * 70_000}).status_code == 431
    assert httpx.get(f"{url}/v1/jobs?a={'1' * 40_000}", headers={"x": "1" * 30_000}).is_error
