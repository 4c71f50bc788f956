"""What schemathesis has to be told of this API."""

from __future__ import annotations

import json
from typing import Any

import schemathesis


@schemathesis.serializer("application/jsonl")
def jsonl(_context: Any, value: Any) -> bytes:
    """A body in lines; a text stays as it is."""
    text = value if isinstance(value, str) else json.dumps(value)
    return text.encode("utf-8", "replace")


@schemathesis.serializer("audio/wav")
def recording(_context: Any, value: Any) -> bytes:
    """A file of a form, drawn as something that no file is."""
    return json.dumps(value, default=repr).encode("utf-8", "replace")
