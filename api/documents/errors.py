"""Errors for files that cannot be read; each message has the problem and its remedy."""

from __future__ import annotations

from shared.errors import InvalidRequest, UnsupportedMedia

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
