"""The bounds of what a request may have in it, where no setting is the bound.

Every text, list and object of a request has one: a keyword of its schema (`maxLength`, `maxItems`,
`maxProperties`, an enum), or `x-limited-by` with the name of the setting or constant.
"""

from __future__ import annotations

import re
from typing import Any

from shared.errors import InvalidRequest

# The bytes of a request's query and headers, and how many headers.
MAX_HEAD_BYTES, MAX_HEADERS = 64 * 2**10, 100
MAX_MODEL_CHARS, MAX_VOICE_CHARS, MAX_LANGUAGE_CHARS = 200, 128, 40
# The parts of a form, beside its files.
MAX_FORM_FIELDS, MAX_FORM_FILES = 40, 2
# `metadata[key]=value` in a query, as many as a job may have.
MAX_METADATA = 16
# Strings, commas and brackets of a JSON body. A request with every field has some 200. Without
# this bound, a body of a million unknown fields is as many errors, of 1 KB of memory each.
MAX_JSON_TOKENS = 1_000
# Empty lines of a batch, which has TTS_MAX_OPEN_JOBS others.
MAX_EMPTY_LINES = 10_000

_SHORT_BYTES = 4_096
_TOKEN = re.compile(rb'[",\[{]')
# Possessive, and the closing quote is optional: each byte is read once, in a broken body too.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)


def limited_by(name: str) -> dict[str, Any]:
    """The part of a schema that names the setting or constant that is the bound."""
    return {"x-limited-by": name}


def check_json(content: bytes, param: str = "body") -> None:
    """Raise `InvalidRequest` if a JSON text of more than 4 KB has more than `MAX_JSON_TOKENS`."""
    if len(content) <= _SHORT_BYTES:
        return
    at = 0
    for _ in range(MAX_JSON_TOKENS):
        found = _TOKEN.search(content, at)
        if found is None:
            return
        string = _STRING.match(content, found.start())
        at = string.end() if string else found.end()
    raise InvalidRequest(
        f"the JSON has more than {MAX_JSON_TOKENS:,} strings, commas and brackets, far more than "
        "any request needs",
        param=param,
    )
