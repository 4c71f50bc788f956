"""Errors for files that cannot be read; each message has the problem and its remedy."""

from __future__ import annotations

import re

from shared.errors import InvalidRequest, UnsupportedMedia

# The starts of other file types, which are often sent under a wrong name and would pass as text.
_FOREIGN = (
    (re.compile(rb"%pdf-"), "PDF"),
    (re.compile(rb"\{\\rtf"), "RTF"),
    (
        re.compile(rb"(?:<\?xml[^<>]*>\s*|<!--.{0,400}?-->\s*)*<(?:!doctype )?html\b", re.DOTALL),
        "HTML",
    ),
)
SUPPORTED_FORMATS = "text (.txt), Markdown (.md) and EPUB (.epub) files are read here"


def unreadable(why: str) -> InvalidRequest:
    """The error for a file of a known kind that cannot be spoken as it is."""
    return InvalidRequest(why, param="file")


def too_long(max_chars: int) -> InvalidRequest:
    """The error for a text of more than `max_chars` characters."""
    return unreadable(f"the text is longer than {max_chars:,} characters: send it in parts")


def unsupported(what: str) -> UnsupportedMedia:
    """The error for a file of another kind."""
    return UnsupportedMedia(f"{what}: {SUPPORTED_FORMATS}", param="file")


def refuse_foreign(head: bytes) -> None:
    """Raise `UnsupportedMedia` if a file that begins with `head` is of another kind, not text."""
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for mark, what in _FOREIGN:
        if mark.match(start):
            raise unsupported(f"the file is {what}")
