"""Compose's variables: keys where others listen, and an example of all."""

from __future__ import annotations

import re

import pytest

from shared.settings import Settings
from tests.support.compose_files import interpolate, read
from tests.support.paths import ROOT

LOCAL = ("docker-compose.yml",)
PUBLIC = (*LOCAL, "docker-compose.public.yml")
EXAMPLE = (ROOT / ".env.example").read_text("utf-8")
FILES = sorted(path.name for path in ROOT.glob("docker-compose*.yml"))
EXAMPLES = dict(re.findall(r"^#([A-Z_]+)=(.*)$", EXAMPLE, re.MULTILINE))


@pytest.mark.parametrize(
    ("text", "env", "expected"),
    [
        ("${A:-b}", {}, "b"),
        ("${A:-b}", {"A": ""}, "b"),
        ("${A-b}", {"A": ""}, ""),
        ("x${A:+b}y", {"A": "1"}, "xby"),
        ("${A:-${B:-c}}", {"B": "2"}, "2"),
        ("${A:-${B:-c}}", {}, "c"),
    ],
)
def test_variables_are_put_in_as_compose_does(
    text: str, env: dict[str, str], expected: str
) -> None:
    assert interpolate(text, env) == expected


def test_without_more_only_this_machine_is_listened_to() -> None:
    api = read(*LOCAL, env={})["services"]["qwen-tts-api"]
    assert api["ports"] == ["127.0.0.1:8000:8000"]
    assert api["environment"]["TTS_AUTH"] == "open"


@pytest.mark.parametrize("env", [{}, {"BIND": "10.0.0.7"}, {"TTS_AUTH": ""}])
def test_where_others_listen_every_request_needs_a_key(env: dict[str, str]) -> None:
    api = read(*PUBLIC, env=env)["services"]["qwen-tts-api"]
    assert api["ports"] == [f"{env.get('BIND', '0.0.0.0')}:8000:8000"]
    assert api["environment"]["TTS_AUTH"] == "required"


def test_an_operator_may_decide_otherwise() -> None:
    for env in ({"TTS_AUTH": "open"}, {"AUTH": "open"}):
        api = read(*PUBLIC, env=env)["services"]["qwen-tts-api"]
        assert api["environment"]["TTS_AUTH"] == "open"


@pytest.mark.parametrize("name", FILES)
def test_no_file_opens_a_port_without_asking_for_keys(name: str) -> None:
    files = LOCAL if name in LOCAL else (*LOCAL, name)
    for service in read(*files, env={})["services"].values():
        for port in service.get("ports", ()):
            is_local = str(port).startswith("127.0.0.1:")
            assert is_local or service["environment"]["TTS_AUTH"] == "required"


def test_the_example_has_every_variable_of_composes_own() -> None:
    text = "".join((ROOT / name).read_text("utf-8") for name in FILES)
    settings = {field.upper() for field in Settings.model_fields}
    used = {name for name in re.findall(r"\$\{(\w+)", text) if name not in settings}
    own = {name for name in used if not name.startswith("TTS_")}
    assert own <= EXAMPLES.keys()
    passed_on = set(re.findall(r"^  ([A-Z_]+):$", text, re.MULTILINE))
    assert used | passed_on >= EXAMPLES.keys()


@pytest.mark.parametrize("name", sorted(name for name, value in EXAMPLES.items() if value))
def test_the_example_shows_the_defaults(name: str) -> None:
    defaults: dict[str, str] = {}
    for file in FILES:
        text = (ROOT / file).read_text("utf-8")
        found = re.findall(rf"\$\{{{name}:-((?:[^{{}}]|\{{[^{{}}]*\}})*)\}}", text)
        defaults |= {file: interpolate(found[0], {})} if found else {}
    field = name.removeprefix("TTS_").lower()
    if defaults:
        assert EXAMPLES[name] == next(
            iter(defaults[file] for file in FILES[::-1] if file in defaults)
        )
    else:
        default = Settings.model_fields[field].default
        # What depends on the device is shown for the CPU.
        assert EXAMPLES[name] == ("float32" if field == "precision" else f"{default:g}")
