"""Compose files as `docker compose` reads them: variables put in, several files merged.

Source: docs.docker.com, "Interpolation" and "Merge" of the Compose file reference.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from tests.support.paths import ROOT

# The innermost `${…}`, so that nested ones are put in first.
_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?:(?P<rule>:?[-+?])(?P<word>[^${}]*))?\}")


class Override(list[Any]):
    """A list that takes the place of the one in the file before: `!override`."""


class _Loader(yaml.SafeLoader):
    pass


_Loader.add_constructor(
    "!override", lambda loader, node: Override(loader.construct_sequence(node, deep=True))
)


def read(*names: str, env: Mapping[str, str]) -> dict[str, Any]:
    """The files merged, with the variables of `env`."""
    merged: Any = {}
    for name in names:
        # No types but YAML's own: the loader is a safe one.
        parsed = yaml.load((ROOT / name).read_text("utf-8"), _Loader)
        merged = _merge(merged, _interpolate(parsed, env))
    found: dict[str, Any] = merged
    return found


def interpolate(text: str, env: Mapping[str, str]) -> str:
    """A text with its variables: `${A}`, `${A:-default}`, `${A:+other}`, and these nested."""
    before = None
    while text != before:
        before, text = text, _VARIABLE.sub(lambda found: _value(found, env), text)
    return text


def _value(found: re.Match[str], env: Mapping[str, str]) -> str:
    rule, word, value = found["rule"] or "", found["word"], env.get(found["name"])
    is_given = bool(value) if ":" in rule else value is not None
    if rule.endswith("-"):
        return value if is_given and value is not None else word
    if rule.endswith("+"):
        return word if is_given else ""
    if rule.endswith("?") and not is_given:
        raise ValueError(f"{found['name']}: {word}")
    return value or ""


def _interpolate(value: Any, env: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return interpolate(value, env)
    if isinstance(value, dict):
        return {key: _interpolate(each, env) for key, each in value.items()}
    if isinstance(value, list):
        return type(value)(_interpolate(each, env) for each in value)
    return value


def _merge(before: Any, after: Any) -> Any:
    if isinstance(before, dict) and isinstance(after, dict):
        both = before.keys() & after.keys()
        return before | after | {key: _merge(before[key], after[key]) for key in both}
    if isinstance(before, list) and isinstance(after, list) and not isinstance(after, Override):
        return before + after
    return after
