"""Warnings that come up while a document is read, bounded in number and length."""

from __future__ import annotations

from shared.document import DocumentWarning

MAX_WARNINGS = 50
MAX_MESSAGE_CHARS = 300
MAX_WHERE_CHARS = 200
MORE_WARNINGS = "more_warnings"


class WarningLog:
    """The warnings of one document in the order in which they came up, each of them once."""

    def __init__(self) -> None:
        self._warnings: dict[DocumentWarning, None] = {}
        self._unlisted = 0

    def add(self, code: str, message: str, where: str | None = None) -> None:
        """Add a warning; of more than `MAX_WARNINGS`, only the number is kept."""
        place = where and printable(where)[:MAX_WHERE_CHARS]
        warning = DocumentWarning(code, printable(message)[:MAX_MESSAGE_CHARS], place)
        if warning in self._warnings:
            return
        if len(self._warnings) < MAX_WARNINGS:
            self._warnings[warning] = None
        else:
            self._unlisted += 1

    def listed(self) -> tuple[DocumentWarning, ...]:
        """The warnings, and the number of those that are not listed as the last one."""
        if not self._unlisted:
            return tuple(self._warnings)
        more = DocumentWarning(MORE_WARNINGS, f"{self._unlisted:,} more warnings are not listed")
        return (*self._warnings, more)


def printable(text: str) -> str:
    """A text of printable characters, such as a name in a file may not be."""
    return "".join(char if char.isprintable() else "\ufffd" for char in text)
