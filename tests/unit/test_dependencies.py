"""Every package that the code imports is named in pyproject.toml, by the extra that needs it."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions

import pytest

from tests.support.paths import ROOT

OURS = {"api", "client", "shared", "worker"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]


def comparable(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def named(requirements: list[str]) -> set[str]:
    return {comparable(re.split(r"[\[<>=!~; ]", one)[0]) for one in requirements}


def imported(*folders: str) -> set[str]:
    """The top-level modules of others that these folders import, at any place in a file."""
    found = set()
    for path in (path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.split(".")[0])
    return found - OURS - set(sys.stdlib_module_names)


@pytest.mark.parametrize("extra", ["api", "worker", "client"])
def test_what_is_imported_is_declared(extra: str) -> None:
    distributions = packages_distributions()
    # `shared.tracing` names the extra if it is not installed.
    declared = named(PROJECT["dependencies"] + EXTRAS[extra] + EXTRAS["tracing"])
    if extra == "worker":
        # The judge of `worker.evaluate --speech`, which names this extra if it is not installed.
        declared |= named(EXTRAS["speech-test"])
    modules = imported(extra) if extra == "client" else imported(extra, "shared")
    missing = {
        module
        for module in modules
        if not declared & {comparable(name) for name in distributions.get(module, ())}
    }
    assert missing == set()
