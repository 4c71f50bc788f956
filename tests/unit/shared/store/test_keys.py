"""The keys of Redis: one module names them all, and its table lists each."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shared.store import keys
from shared.store.scripts import load

ROOT = Path(keys.__file__).parents[2]
STORE = Path(keys.__file__).parent
# "tts:" and "tts." with a name, as a key begins; not `qwen_tts.core`, nor a word of prose.
KEY = re.compile(r"""["']tts[:.][a-z{:_]*""")
SOURCES = [
    path
    for folder in ("api", "client", "shared", "worker")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in {".py", ".lua"} and path.name != "keys.py"
]
STEPS = sorted(path.stem for path in (STORE / "lua").glob("*.lua"))


def test_no_other_module_names_a_key() -> None:
    assert len(SOURCES) > 200
    found = {path.name: KEY.findall(path.read_text("utf-8")) for path in SOURCES}
    assert {name: each for name, each in found.items() if each} == {}


def test_the_table_lists_every_key() -> None:
    text = Path(keys.__file__).read_text("utf-8")
    named = set(re.findall(r'"(tts[:.][^"]*)"', text))
    listed = set(re.findall(r"^\| (tts[:.]\S+?) *\|", str(keys.__doc__), re.MULTILINE))
    assert len(named) > 40
    shape = re.compile(r"\{[^}]*\}|\[[^]]*\]")
    assert {shape.sub("{}", each) for each in listed} == named


@pytest.mark.parametrize("step", STEPS)
def test_a_step_defines_what_it_names_and_nothing_else(step: str) -> None:
    source = load(step)
    defined = re.findall(r"^local (?:function )?(\w+).*'tts[:.].*$", source, re.MULTILINE)
    for name in defined:
        assert len(re.findall(rf"\b{name}\b", source)) > 1, f"{name} is not used in {step}"
