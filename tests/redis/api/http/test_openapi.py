"""The description is what the API does: complete, offline, and held against many requests."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from redis import Redis

from shared.models import ModelCard
from shared.settings import Settings
from shared.speech_model import Task
from shared.store.api_keys import ApiKeys
from tests.support.live_server import serving
from tests.support.paths import ROOT
from tests.support.stub_worker import speaking
from tests.support.valid_job import VALID_JOB

CASES = 2_000
# The same requests each time; SCHEMATHESIS_SEED=N draws others.
SEED = os.environ.get("SCHEMATHESIS_SEED", "1")
HOOKS = "openapi_hooks"
SUPPORT = ROOT / "tests" / "support"


@pytest.fixture
def url(settings: Settings, redis: Redis, card: ModelCard) -> Iterator[str]:
    assert redis.ping()
    other = {"voices": (), "instructions": True}
    cards = [
        card,
        card.model_copy(update={"id": "d", "task": Task.VOICE_DESIGN, **other}),
        card.model_copy(update={"id": "b", "task": Task.VOICE_CLONE, **other}),
    ]
    # What is drawn by chance must not be knocked at.
    few = settings.model_copy(update={"max_input_chars": 200, "webhook_targets": "off"})
    with speaking(few, cards), serving(few) as url:
        yield url


@pytest.mark.timeout(600)
def test_every_answer_is_as_described(url: str, redis: Redis, tmp_path: Path) -> None:
    _, token = ApiKeys(redis).create("schemathesis")
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json"),
        *("--header", f"Authorization: Bearer {token}"),
        *("--phases", "examples,coverage,fuzzing,stateful"),
        *("--max-examples", "10", "--seed", SEED),
        *("--continue-on-failure", "--request-timeout", "20"),
        # What is served, and what a file has in it, no schema can say.
        *("--exclude-checks", "positive_data_acceptance"),
        *("--suppress-health-check", "all", "--warnings", "off", "--no-color"),
    ]
    env = {**os.environ, "SCHEMATHESIS_HOOKS": HOOKS, "PYTHONPATH": str(SUPPORT)}
    told = subprocess.run(
        command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stdout[-10_000:] + told.stderr[-2_000:]
    found = re.search(r"([\d,]+) generated", told.stdout)
    assert found is not None
    assert int(found[1].replace(",", "")) >= CASES


def operations(api: TestClient) -> list[tuple[str, dict[str, Any]]]:
    paths = api.get("/openapi.json").json()["paths"]
    return [(f"{m} {path}", found[m]) for path, found in paths.items() for m in found]


def test_every_operation_is_described(api: TestClient) -> None:
    for name, operation in operations(api):
        assert len(operation["description"].split()) >= 3, name
        assert operation["tags"], name
        for parameter in operation.get("parameters", []):
            assert parameter.get("description") or parameter["schema"].get("enum"), (
                name,
                parameter["name"],
            )
        for status, answer in operation["responses"].items():
            assert answer["description"], (name, status)
        if "/healthz" not in name and "/readyz" not in name:
            assert {"401", "403"} <= set(operation["responses"]), name
            assert operation["security"], name


def test_every_body_has_an_example(api: TestClient) -> None:
    description = api.get("/openapi.json").json()
    for name, operation in operations(api):
        for kind, content in operation.get("requestBody", {}).get("content", {}).items():
            refs = re.findall(r"#/components/schemas/(\w+)", str(content.get("schema")))
            schemas = [description["components"]["schemas"][ref] for ref in refs]
            schemas = schemas or [content.get("schema", {})]
            assert (
                "example" in content
                or "examples" in content
                or "examples" in content.get("schema", {})
                or (schemas and all("examples" in schema for schema in schemas))
            ), (name, kind)


def test_operations_have_plain_names(api: TestClient) -> None:
    ids = [operation["operationId"] for _, operation in operations(api)]
    assert len(set(ids)) == len(ids)
    assert {"submit_job", "get_job", "get_job_audio", "create_speech", "submit_batch"} <= set(ids)
    for each in ids:
        assert re.fullmatch(r"[a-z]+(_[a-z]+){1,3}", each), each


def test_schemas_have_plain_names(api: TestClient) -> None:
    """Of two models with one name, FastAPI would put the module before both."""
    schemas = api.get("/openapi.json").json()["components"]["schemas"]
    assert [name for name in schemas if not re.fullmatch("[A-Za-z]+", name)] == []


def test_every_body_and_answer_has_a_schema(api: TestClient) -> None:
    for name, operation in operations(api):
        contents = {**operation.get("requestBody", {}).get("content", {})}
        for status, answer in operation["responses"].items():
            answered = answer.get("content", {})
            contents |= {f"{status} {kind}": each for kind, each in answered.items()}
        for kind, content in contents.items():
            assert content.get("schema") or content.get("itemSchema"), (name, kind)


def test_what_has_a_default_is_optional(api: TestClient) -> None:
    """A generator for TypeScript takes a field with a default for one that is always sent."""
    description = api.get("/openapi.json").json()
    schemas = description["components"]["schemas"]
    for name in ("CustomVoice", "VoiceDesign", "VoiceClone", "Sampling", "SpeechRequest"):
        fields = schemas[name]["properties"]
        assert [field for field in fields if "default" in fields[field]] == []
    assert schemas["CustomVoice"]["required"] == ["input", "task", "voice"]
    assert schemas["CustomVoice"]["properties"]["language"]["description"].endswith(" `auto`.")
    assert schemas["SpeechRequest"]["required"] == ["input"]


def test_a_form_has_the_fields_of_the_json(api: TestClient) -> None:
    description = api.get("/openapi.json").json()
    body = description["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]
    form = body["multipart/form-data"]["schema"]
    schemas = description["components"]["schemas"]
    for task, ref in body["application/json"]["schema"]["discriminator"]["mapping"].items():
        fields = schemas[ref.rpartition("/")[2]]["properties"]
        assert fields["task"]["const"] == task
        assert set(fields) - {"input", "input_format"} <= set(form["properties"])
    assert form["required"] == ["file", "task"]
    assert form["properties"]["metadata"]["type"] == "string"
    assert "null" not in str(form["properties"])


def schema_of_deadlines(api: TestClient) -> dict[str, Any]:
    parameters = api.get("/openapi.json").json()["paths"]["/v1/jobs"]["post"]["parameters"]
    found: dict[str, dict[str, Any]] = {each["name"]: each["schema"] for each in parameters}
    return found["Cancel-After"]


@pytest.mark.parametrize("said", ["90s", "5m", "1h30m", "90", "2H", "1h30m5s", "010s"])
def test_the_pattern_of_a_deadline_takes_what_the_server_takes(api: TestClient, said: str) -> None:
    schema = schema_of_deadlines(api)
    assert re.search(schema["pattern"], said)
    assert len(said) <= schema["maxLength"]
    accepted = api.post("/v1/jobs", json=VALID_JOB, headers={"Cancel-After": said})
    assert (accepted.status_code, accepted.json()["cancel_at"] is not None) == (202, True)


@pytest.mark.parametrize("said", ["soon", "5 m", "1.5h", "m", "1m1h", "-5s"])
def test_the_pattern_of_a_deadline_takes_nothing_else(api: TestClient, said: str) -> None:
    schema = schema_of_deadlines(api)
    assert not re.search(schema["pattern"], said)


@pytest.mark.parametrize("kind", ["application/octet-stream", "application/jsonl"])
def test_lines_are_taken_as_plain_bytes_too(api: TestClient, kind: str) -> None:
    line = json.dumps({"custom_id": "a", "url": "/v1/jobs", "body": VALID_JOB})
    headers = {"Content-Type": kind}
    assert api.post("/v1/batches", content=line, headers=headers).status_code == 202


def test_the_page_of_the_description_loads_nothing_from_elsewhere(api: TestClient) -> None:
    page = api.get("/docs").text
    links = re.findall(r"""(?:src|href|url)\s*[:=]\s*["']([^"']+)""", page)
    assert links
    for link in links:
        assert not re.match(r"/|[a-z]+:", link), link
        assert api.get(f"/{link}").status_code == 200, link
