"""Clients that are generated from /openapi.json, each with its generator's default options."""

from __future__ import annotations

import base64
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest

from client.local.stack import Stack
from tests.clients.conftest import FOLDER, SCRIPTS, Programs, newest_jobs

BIN = FOLDER / "node_modules" / ".bin"


def test_openapi_python_client(programs: Programs, stack: Stack, service: httpx.Client) -> None:
    generator = FOLDER / "openapi-python-client" / "bin"
    programs.env["PATH"] = f"{generator}:{programs.env['PATH']}"  # it formats with ruff
    programs.run(
        *(generator / "openapi-python-client", "generate", "--url", f"{stack.url}/openapi.json")
    )
    told = programs.python(
        "openapi-python-client", "generated_by_openapi_python_client.py", stack.url
    )
    assert told["statuses"] == ["completed", "completed"]
    assert told["chapters"] == ["One"]
    assert told["refused"] == "voice"
    job = service.get(f"/v1/jobs/{told['id']}").json()
    assert programs.seconds("job.wav") == pytest.approx(job["audio"]["seconds"])
    (speech,) = newest_jobs(service, 1)
    assert programs.seconds("speech.mp3") == pytest.approx(speech["audio"]["seconds"], abs=0.11)


def compile_and_run(programs: Programs, script: str, url: str) -> Any:
    """Check the types of a script, compile it, and run it; returns what it printed."""
    shutil.copy(SCRIPTS / script, programs.folder)
    checked = ("--strict", "--target", "es2022", "--module", "nodenext", "--skipLibCheck", "false")
    programs.run(BIN / "tsc", *checked, "--outDir", "made", script)
    return programs.node_file(Path("made", script).with_suffix(".js"), url)


def assert_as_spoken(told: Any, programs: Programs, service: httpx.Client) -> None:
    assert told["status"] == "completed"
    assert told["refused"] == "voice"
    for name in ("content", "speech"):
        (programs.folder / name).write_bytes(base64.b64decode(told[name]))
    job = service.get(f"/v1/jobs/{told['id']}").json()
    assert programs.seconds("content") == pytest.approx(job["audio"]["seconds"])
    (speech,) = newest_jobs(service, 1)
    assert programs.seconds("speech") == pytest.approx(speech["audio"]["seconds"], abs=0.11)


def test_openapi_typescript(programs: Programs, stack: Stack, service: httpx.Client) -> None:
    programs.run(BIN / "openapi-typescript", f"{stack.url}/openapi.json", "-o", "schema.d.ts")
    told = compile_and_run(programs, "generated_by_openapi_typescript.ts", stack.url)
    assert_as_spoken(told, programs, service)
    assert told["batch"].startswith("line 1")


def test_hey_api(programs: Programs, stack: Stack, service: httpx.Client) -> None:
    programs.run(BIN / "openapi-ts", "-i", f"{stack.url}/openapi.json", "-o", "client")
    told = compile_and_run(programs, "generated_by_hey_api.ts", stack.url)
    assert_as_spoken(told, programs, service)
