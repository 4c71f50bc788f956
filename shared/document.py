"""A text to be spoken, with its chapters, and the segments that it is split into."""

from __future__ import annotations

from typing import NamedTuple


class Chapter(NamedTuple):
    """A chapter of a text: its title, and the character at which its heading begins."""

    title: str
    start: int


class DocumentWarning(NamedTuple):
    """Something of a text that was left out, guessed or mended; `where` is its place, if known."""

    code: str
    message: str
    where: str | None = None


class Section(NamedTuple):
    """A part of a document that can be chosen; `seconds` is the length that is expected of it.

    `kind` is `chapter`, `text` without a title, or a kind of front or back matter such as `index`.
    `is_spoken` is True if the text has it.
    """

    title: str | None
    kind: str
    chars: int
    seconds: float
    is_spoken: bool


class Details(NamedTuple):
    """More metadata of a book: `date` as `1905` or `1905-04-01`, `cover` as a JPEG or PNG."""

    date: str | None = None
    description: str | None = None
    cover: bytes | None = None


NO_DETAILS = Details()


class Document(NamedTuple):
    """A text, its chapters in order, the metadata of its file, and what was mended in it.

    Text before the first chapter, such as a title page, belongs to none. `language` is a name that
    models know, such as `english`. `sections` are those of the whole file, also of what is left
    out.
    """

    text: str
    chapters: tuple[Chapter, ...] = ()
    title: str | None = None
    author: str | None = None
    language: str | None = None
    warnings: tuple[DocumentWarning, ...] = ()
    sections: tuple[Section, ...] = ()
    details: Details = NO_DETAILS


class Segment(NamedTuple):
    """A part of a text that is synthesised in one request.

    `start` and `end` are characters of the input; `pause_s` is the silence after it.
    """

    text: str
    start: int
    end: int
    pause_s: float = 0.0
