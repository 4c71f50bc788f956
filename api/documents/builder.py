"""Builder of a document: paragraphs are added in order, chapters are marked in them."""

from __future__ import annotations

import html
import re

from api.documents.errors import too_long
from api.text.cpu_limit import check_cpu
from api.text.normalise import collapse_whitespace
from shared.document import Chapter, Document

PARAGRAPH_SEPARATOR = "\n\n"
SOFT_HYPHEN = "\xad"
MAX_TITLE_CHARS = 200
MAX_DESCRIPTION_CHARS = 1_000
_DATE = re.compile(r"(?<!\d)(?P<year>-?\d{4})(?:-(?P<month>\d\d)(?:-(?P<day>\d\d))?)?(?!\d)")
_HTML_TAG = re.compile(r"<[^<>]{1,1000}>")


def line(text: str) -> str:
    """A text as one normalised line, without soft hyphens."""
    return collapse_whitespace(text.replace(SOFT_HYPHEN, ""))


def title(text: str) -> str:
    """A text as one line of at most `MAX_TITLE_CHARS` characters."""
    return line(text)[:MAX_TITLE_CHARS].rstrip()


def date_of(text: str) -> str | None:
    """The date in a text, as `1905`, `1905-04` or `1905-04-01`; None if it has no year.

    Example: `1905-13-45` and `May 1905` are `1905`.
    """
    found = _DATE.search(text[:MAX_TITLE_CHARS])
    if found is None:
        return None
    year, month, day = found["year"], found["month"], found["day"]
    if not month or not 1 <= int(month) <= 12:
        return year
    is_day = day and 1 <= int(day) <= 31
    return f"{year}-{month}-{day}" if is_day else f"{year}-{month}"


def description(text: str) -> str | None:
    """A description as one line without HTML, of at most `MAX_DESCRIPTION_CHARS`."""
    plain = line(html.unescape(_HTML_TAG.sub(" ", text[: 10 * MAX_DESCRIPTION_CHARS])))
    return plain[:MAX_DESCRIPTION_CHARS].rstrip() or None


class DocumentBuilder:
    """Paragraphs of at most `max_chars` characters in all, and the chapters in them."""

    def __init__(self, max_chars: int) -> None:
        self._max_chars = max_chars
        self._paragraphs: list[str] = []
        self._chapters: dict[int, str] = {}
        self.end = 0

    def add(self, paragraph: str) -> str:
        """Add a paragraph at `end`, unless it is blank, and return it as one line."""
        check_cpu()
        added = line(paragraph)
        if added:
            self.add_line(added)
        return added

    def add_line(self, text: str) -> None:
        """Add a paragraph that is a normalised line, and not empty."""
        self.check(len(text))
        self._paragraphs.append(text)
        self.end += len(text) + len(PARAGRAPH_SEPARATOR)

    def check(self, more: int) -> None:
        """Raise `InvalidRequest` if `more` characters would exceed the limit."""
        if self.end + more > self._max_chars:
            raise too_long(self._max_chars)

    def mark(self, name: str, start: int) -> None:
        """Begin a chapter at a character; of several at one character, the last one counts."""
        if short := title(name):
            self._chapters[start] = short

    def document(
        self, *, name: str | None = None, author: str | None = None, language: str | None = None
    ) -> Document:
        """The document; chapters without text after their mark, such as a picture, are left out."""
        chapters = (Chapter(self._chapters[start], start) for start in sorted(self._chapters))
        return Document(
            text=PARAGRAPH_SEPARATOR.join(self._paragraphs),
            chapters=tuple(chapter for chapter in chapters if chapter.start < self.end),
            title=title(name or "") or None,
            author=title(author or "") or None,
            language=language,
        )
