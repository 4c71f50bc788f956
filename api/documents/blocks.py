"""The pages of a book as blocks: each a paragraph, a heading or a line of a table."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from api.documents.builder import line
from api.documents.matter import Kind
from api.text.headings import is_heading_line, is_label, join_title
from api.text.lines import PARAGRAPH_END, mark_lines

HEADING_TAGS = frozenset(("h1", "h2", "h3", "h4", "h5", "h6"))
LINE_BREAK = "\u2028"  # a `<br>` in the text of a run
SPAN_BREAK = "\x1f"  # between two inline elements of a heading without a space between them
_PART_BREAK = re.compile("([\u2028\x1f])")
_LINE_BREAKS = re.compile("\u2028(?: *\u2028)+")
MIN_VERSE_LINES = 3
MAX_PARTS = 8  # of a heading


@dataclass(slots=True)
class Run:
    """A stretch of text of one kind: `href` if it is a link, `is_raised` as superscripts are.

    `alt` is the text of an image, which is spoken in a few places only.
    """

    text: str
    href: str | None = None
    is_raised: bool = False
    alt: str | None = None


@dataclass(slots=True)
class Block:
    """A block element's text.

    `region` is the number of the part of notes around it, or 0; `kind` is that of the matter around
    it, such as an index, if its elements say so.
    """

    tag: str
    runs: list[Run]
    region: int = 0
    is_spoken: bool = True
    is_bold: bool = False
    kind: Kind | None = None
    _line: str | None = None

    @property
    def line(self) -> str:
        """The text as one normalised line; the block does not change once it was asked for."""
        if self._line is None:
            self._line = line(plain_text(self))
        return self._line

    @property
    def is_heading(self) -> bool:
        """True if it is a heading element."""
        return self.tag in HEADING_TAGS

    @property
    def text(self) -> str:
        """The text of all runs."""
        if len(self.runs) == 1:
            return self.runs[0].text
        return "".join([run.text for run in self.runs])


@dataclass(slots=True)
class Page:
    """A page: its blocks, and for each id the numbers of the first and last block in it."""

    name: str
    blocks: list[Block] = field(default_factory=list)
    ids: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    skipped_notes: int = 0


def paragraphs(block: Block) -> list[str]:
    """The paragraphs of a block as normalised lines: several if it has line breaks in it.

    A heading is one paragraph.
    """
    text = block.text
    if LINE_BREAK not in text or block.is_heading or is_heading_line(block.line):
        return [block.line] if block.line else []
    return split_lines(text)


def split_lines(text: str) -> list[str]:
    """The paragraphs of a text with line breaks.

    Two line breaks end a paragraph. One ends a line, as of verse, and begins a new one unless
    there is one only, after which a sentence goes on: `so<br/>on`.
    """
    found: list[str] = []
    for part in _LINE_BREAKS.split(text):
        lines = [shown for each in part.split(LINE_BREAK) if (shown := each.strip())]
        is_verse = len(lines) >= MIN_VERSE_LINES or not any(each[0].islower() for each in lines[1:])
        marked = mark_lines("\n".join(lines))[0] if is_verse else " ".join(lines)
        found += marked.split(PARAGRAPH_END)
    return [shown for each in found if (shown := line(each))]


def plain_text(block: Block) -> str:
    """The text of a block as one line, with the parts of a heading kept apart.

    Example: `Chapter 1<br/>The Lamp` and `<span>Chapter 1</span><span>The Lamp</span>` give
    `Chapter 1. The Lamp`; `<span>T</span><span>HE LAMP</span>` gives `THE LAMP`.
    """
    text = block.text
    if LINE_BREAK not in text and SPAN_BREAK not in text:
        return text
    first, *others = _PART_BREAK.split(text)
    text = first.strip()
    if len(others) > 2 * MAX_PARTS:
        return _PART_BREAK.sub(" ", block.text)
    for mark, part in zip(others[::2], others[1::2], strict=True):
        part = part.strip()
        is_initial = text[-1:].isalpha() and not text[-2:-1].strip()
        if mark == SPAN_BREAK and is_initial and part[:1].isalpha():
            text += part
        elif text and part and is_label(text) and (block.is_heading or is_heading_line(text)):
            text = join_title(text, part)
        else:
            text = f"{text} {part}".strip()
    return text
