"""Nothing that runs code of a file it reads, licences that were looked at, advisories read."""

from __future__ import annotations

import ast
import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.receiver import receiving

PACKAGES = ("api", "client", "shared", "worker", "training", "examples", "benchmarks")
FILES = [path for name in PACKAGES for path in sorted((ROOT / name).rglob("*.py"))]
# Modules whose files may say what is executed when they are read.
UNSAFE_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
LICENCES = runpy.run_path(str(ROOT / ".ci" / "licences.py"))
ADVISORIES = runpy.run_path(str(ROOT / ".ci" / "advisories.py"))


def unsafe(source: str) -> Iterator[str]:
    """The calls and imports of a source that could run code of a file that it reads."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from {each.name.split(".")[0] for each in node.names} & UNSAFE_MODULES
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from {node.module.split(".")[0]} & UNSAFE_MODULES
        elif isinstance(node, ast.Call):
            yield from unsafe_call(node)


def unsafe_call(node: ast.Call) -> Iterator[str]:
    name = ast.unparse(node.func)
    options = {each.arg: each.value for each in node.keywords}
    if "trust_remote_code" in options:
        yield "trust_remote_code"
    if name in ("torch.load", "load_state_dict_from_url"):
        # Tensors alone are read with it.
        only = options.get("weights_only")
        if not (isinstance(only, ast.Constant) and only.value is True):
            yield name
    is_yaml = name in ("yaml.unsafe_load", "yaml.full_load")
    if is_yaml or (name.endswith("np.load") and "allow_pickle" in options):
        yield name


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import pickle", "pickle"),
        ("from joblib import load", "joblib"),
        ("import torch\ntorch.load(path)", "torch.load"),
        ("torch.load(path, weights_only=False)", "torch.load"),
        ("AutoModel.from_pretrained(name, trust_remote_code=True)", "trust_remote_code"),
        ("np.load(path, allow_pickle=True)", "np.load"),
        ("yaml.unsafe_load(text)", "yaml.unsafe_load"),
    ],
)
def test_what_is_unsafe_is_found(source: str, expected: str) -> None:
    assert list(unsafe(source)) == [expected]


@pytest.mark.parametrize("package", PACKAGES)
def test_no_file_that_is_read_can_run_code(package: str) -> None:
    files = [path for path in FILES if path.is_relative_to(ROOT / package)]
    assert files
    assert {path: found for path in files if (found := list(unsafe(path.read_text("utf-8"))))} == {}


def test_a_worker_reads_weights_as_safetensors_alone() -> None:
    sources = {
        path: path.read_text("utf-8") for path in FILES if path.is_relative_to(ROOT / "worker")
    }
    assert [path for path, text in sources.items() if "torch.load" in text] == []
    assert any("safetensors" in text for text in sources.values())


def test_every_licence_was_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    assert LICENCES["main"]() is None
    assert len(capsys.readouterr().out.splitlines()) > 80


@pytest.mark.parametrize("licence", ["GPL-3.0-only", "AGPL-3.0-or-later", "Proprietary"])
def test_other_licences_are_refused(licence: str) -> None:
    assert not LICENCES["is_allowed"]("redis", licence)
    assert not LICENCES["is_allowed"]("certifi", licence)


@pytest.mark.parametrize(
    ("status", "content", "problem"),
    [
        (404, b"", "answered HTTP 404"),
        (200, b'{"info": {}}', "answered without vulnerabilities"),
        (200, b"<html>Log in</html>", "answered without vulnerabilities"),
    ],
)
def test_an_audit_without_advisories_ends_with_one_line(
    status: int, content: bytes, problem: str
) -> None:
    with receiving() as service:
        service.content, service.answers = content, [(status, {})]
        said = ADVISORIES["main"](f"http://127.0.0.1:{service.port}")
    assert said.startswith("error: no package was audited: ")
    assert problem in said
    assert "\n" not in said


def test_an_audit_begins_where_the_advisories_can_be_read() -> None:
    with receiving() as service:
        service.content = b'{"vulnerabilities": []}'
        url = f"http://127.0.0.1:{service.port}"
        assert ADVISORIES["main"](url) is None
    assert [got.path for got in service.got] == [ADVISORIES["ASKED"]]
    assert "could not be reached (ConnectionError)" in ADVISORIES["main"](url)


def test_the_lock_files_are_those_of_the_images() -> None:
    named = {path.stem for path in (ROOT / "requirements").glob("*.lock")}
    assert named == {path.suffix[1:] for path in Path(ROOT).glob("Dockerfile.*")}
