"""Markdown: its text without markup."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import pyromark

from api.documents import text as plain
from api.documents.builder import PARAGRAPH_SEPARATOR, DocumentBuilder, line
from api.documents.errors import unreadable
from api.documents.reading import Images, Notes, Reading, warn_of_notes, warn_of_scripts
from api.documents.sections import select
from api.documents.yaml_front_matter import NO_FRONT_MATTER, front_matter_of
from api.text.cpu_limit import check_cpu
from api.text.note_marks import silence_notes, superscript
from api.text.paragraphs import is_pause
from shared.document import Document

MARKDOWN_OPTIONS = (
    pyromark.Options.ENABLE_TABLES
    | pyromark.Options.ENABLE_STRIKETHROUGH
    | pyromark.Options.ENABLE_FOOTNOTES
)
# YAML without an empty line, at the beginning: a text may also begin with a thematic break.
FRONT_MATTER = re.compile(
    r"\A---[ \t]*\n(?=[\w-]+:)(?:(?![ \t]*\n).*\n)*?(?:---|\.\.\.)[ \t]*(?:\n|\Z)"
)
URL = re.compile(r" ?\b(?:https?://|www\.)\S*[^\s.,;:!?)\]}'\"”’»]")
MAX_EVENTS = 2_000_000  # a dense text of 5 million characters has 700,000
EVENTS_PER_CPU_CHECK = 1_000  # between two checks of the CPU time
INLINE_TAGS = frozenset(
    ("Emphasis", "Strong", "Strikethrough", "Link", "Image", "TableCell", "Superscript")
)
NOTE_ANCHOR = re.compile(r"#(?:_?ftn|fn|footnote|endnote|note|cite)(?:ref)?[-_:.]?\w{1,20}\Z")


def read(file: BinaryIO, reading: Reading) -> Document:
    """Read CommonMark with tables, strikethrough and footnotes.

    Paragraphs, headings, list items and the rows of a table become paragraphs. The text of links
    stays, that of images if the options say so. Left out are URLs, blocks of code, HTML, comments,
    footnotes and YAML at the beginning. Chapters are the headings of levels 1 and 2, else those of
    the highest level; the title is that of the YAML, else the only heading of level 1.
    """
    source = plain.decode(file, reading).replace("\r\n", "\n")
    front_matter = FRONT_MATTER.match(source)
    book = front_matter_of(front_matter[0], reading) if front_matter else NO_FRONT_MATTER
    builder = DocumentBuilder(reading.max_chars)
    headings = []
    own_notes = [0]
    found = list(_paragraphs(FRONT_MATTER.sub("", source), reading, own_notes))
    lines = PARAGRAPH_SEPARATOR.join(line(URL.sub("", paragraph)) for _, paragraph in found)
    silenced, skipped = silence_notes(lines, skip=reading.options.notes is Notes.SKIP)
    warn_of_notes(skipped + own_notes[0], reading)
    warn_of_scripts(silenced, reading)
    silenced = plain.without_contents(silenced, reading)
    for (level, _), paragraph in zip(found, silenced.split(PARAGRAPH_SEPARATOR), strict=True):
        start = builder.end
        added = builder.add(paragraph)
        if level and added:
            headings.append((level, added, start))
    deepest = max(2, min((level for level, _, _ in headings), default=0))
    for level, name, start in headings:
        if level <= deepest:
            builder.mark(name, start)
    titles = [name for level, name, _ in headings if level == 1]
    title = book.title or (titles[0] if len(titles) == 1 else None)
    document = builder.document(name=title, author=book.author, language=book.language)
    return select(document._replace(details=book.details), reading, keep_length=False)


def _paragraphs(source: str, reading: Reading, notes: list[int]) -> Iterator[tuple[int, str]]:
    """Each paragraph with its level: that of a heading, or 0; counts skipped footnotes."""
    words: list[str] = []
    level, unspoken, raised = 0, 0, False
    image, alt = 0, ""  # the number of words before an image, and the alt that was left out
    skips = reading.options.notes is Notes.SKIP
    events: Iterator[Any] = pyromark.events(source, options=MARKDOWN_OPTIONS)
    for count, event in enumerate(events):
        if count > MAX_EVENTS:
            raise unreadable("the file has too many marks: send it as plain text")
        if count % EVENTS_PER_CPU_CHECK == 0:
            check_cpu()
        match event:
            case {"Start": {"Link": {"link_type": "Autolink"}}}:
                unspoken += 1
            case {"Start": {"Link": {"dest_url": str(url)}}} if NOTE_ANCHOR.match(url):
                unspoken += 1
            case {"Start": {"FootnoteDefinition": _}} if skips and not unspoken:
                notes[0] += 1
                unspoken += 1
            case {"Start": tag} if unspoken or _name(tag) == "CodeBlock":
                unspoken += 1
            case {"End": _} if unspoken:
                unspoken -= 1
            case {"InlineHtml": "<sup>" | "</sup>" as tag}:
                raised = tag == "<sup>"
            case {"Start": {"Image": _}}:
                image = len(words)
            case {"End": "Image"} if reading.options.images is Images.SKIP:
                alt = "".join(words[image:])
                # The picture of a first letter is read.
                if image or len(alt) != 1 or not alt.isalpha():
                    del words[image:]
            case {"End": {"Heading": _}} if not words and alt:
                yield level, alt
                level, alt = 0, ""
            case {"Text": text} | {"Code": text} if not unspoken:
                # `dead<sup>1</sup>` is the mark of a note, `10<sup>6</sup>` is not: as in `dead¹`.
                words.append(superscript(text) if raised and text.isdecimal() else text)
            case "SoftBreak" | "HardBreak" | {"InlineHtml": "<br>" | "<br/>" | "<br />"}:
                words.append(" ")
            case {"InlineHtml": str(tag)} if not unspoken and is_pause(tag):
                words.append(tag)
            case {"Start": "TableCell"}:
                words.append(", " if words else "")
            case {"Start": tag} | {"End": tag} if _name(tag) not in INLINE_TAGS:
                if words:
                    yield level, "".join(words)
                    words.clear()
                level, alt = _level(tag), ""
    yield level, "".join(words)


def _name(tag: str | Mapping[str, Any]) -> str:
    return tag if isinstance(tag, str) else next(iter(tag))


def _level(tag: str | Mapping[str, Any]) -> int:
    """The level of a heading that begins; 0 for any other tag, and at the heading's end."""
    match tag:
        case {"Heading": {"level": level}}:
            return int(level[1:])
        case _:
            return 0
