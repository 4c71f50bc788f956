"""Fields of requests as clients of other servers write them."""

from __future__ import annotations

import re
from typing import Any

MAX_NUMBER_CHARS = 24
NUMBER_PATTERN = r"^-?[0-9]+(\.[0-9]+)?$"
# The part of a schema that lets a number be a text.
NUMBER_TEXT_SCHEMA = {"type": "string", "maxLength": MAX_NUMBER_CHARS, "pattern": NUMBER_PATTERN}
_NUMBER = re.compile(NUMBER_PATTERN.removesuffix("$"))


def number_from_text(sent: Any) -> Any:
    """The number that a text holds; anything else stays, to be refused by the field's type.

    Example: `"1.5"` is 1.5, and `"3"` is 3, which is also a float.
    """
    if not isinstance(sent, str) or len(sent) > MAX_NUMBER_CHARS or not _NUMBER.fullmatch(sent):
        return sent
    return float(sent) if "." in sent else int(sent)


def lower_case(sent: Any) -> Any:
    """A text in lower case and without surrounding blanks; anything else stays."""
    return sent.strip().lower() if isinstance(sent, str) else sent
