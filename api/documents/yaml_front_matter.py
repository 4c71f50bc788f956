"""The YAML at the beginning of a Markdown file: title, authors, date, language, description."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import yaml

from api.documents.builder import date_of, description
from api.documents.reading import Reading
from api.text.cpu_limit import check_cpu
from api.text.languages import LANGUAGES, language_name
from shared.document import NO_DETAILS, Details

MAX_YAML_CHARS = 16_384
MAX_AUTHORS = 20
MAX_DEPTH = 20
NONE_VALUES = ("~", "null", "Null", "NULL")
# libyaml's, if PyYAML was built with it: PyYAML's own takes quadratic time over nested lists.
_LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_LINE = re.compile(r"^([A-Za-z]{1,20}):[ \t]*(\S.*)$", re.MULTILINE)


class YamlFrontMatter(NamedTuple):
    """The metadata of a file; `language` is a name that models know."""

    title: str | None = None
    author: str | None = None
    language: str | None = None
    details: Details = NO_DETAILS


NO_FRONT_MATTER = YamlFrontMatter()


def front_matter_of(text: str, reading: Reading) -> YamlFrontMatter:
    """The metadata in YAML between two lines, under the names of Pandoc and of site generators.

    YAML that is not well made, such as `title: Salt: A Story`, is read line by line, with a
    warning.
    """
    text = text.strip().partition("\n")[2].rpartition("\n")[0][:MAX_YAML_CHARS]
    try:
        _check_depth(text)
        # All values stay as they are written: `title: 1984`, `date: 2020-05-01`.
        fields = yaml.load(text, _LOADER)
    except yaml.YAMLError:
        fields = None
    if not isinstance(fields, dict):
        reading.warnings.add(
            "yaml_guessed", "the YAML at the beginning is not well made: read line by line"
        )
        fields = {name: value.strip("\"'[] \t") for name, value in _LINE.findall(text)}
    language = language_name(_text(fields, "lang", "language") or "").lower()
    authors = fields.get("author", fields.get("authors", fields.get("creator")))
    listed = authors if isinstance(authors, list) else [authors]
    names = [
        _text(each, "name", "text") if isinstance(each, dict) else _plain(each)
        for each in listed[:MAX_AUTHORS]
    ]
    return YamlFrontMatter(
        title=_text(fields, "title"),
        author=", ".join(filter(None, names)) or None,
        language=language if language in LANGUAGES else None,
        details=Details(
            date=date_of(_text(fields, "date") or ""),
            description=description(_text(fields, "description", "abstract", "subject") or ""),
        ),
    )


def _check_depth(text: str) -> None:
    """Raise `YAMLError` if the YAML is nested too deeply, before the rest of it is read."""
    depth = 0
    for event in yaml.parse(text, _LOADER):
        check_cpu()
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise yaml.YAMLError("nested too deeply")


def _text(fields: dict[Any, Any], *names: str) -> str | None:
    """The first of some fields that is a text; of Pandoc's `{type, text}` its text."""
    for name in names:
        value = fields.get(name)
        if isinstance(value, list) and value:
            value = value[0]
        if isinstance(value, dict):
            value = value.get("text")
        if found := _plain(value):
            return found
    return None


def _plain(value: Any) -> str | None:
    if not isinstance(value, str) or value.strip() in NONE_VALUES:
        return None
    return value.strip() or None
