"""Markdown: its text without markup."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import pyromark

from api.documents import text as plain
from api.documents.blocks import LINE_BREAK, split_lines
from api.documents.builder import PARAGRAPH_SEPARATOR, DocumentBuilder, line
from api.documents.errors import unreadable
from api.documents.reading import (
    Images,
    Notes,
    Reading,
    warn_of_marks,
    warn_of_notes,
    warn_of_scripts,
)
from api.documents.sections import select
from api.documents.yaml_front_matter import NO_FRONT_MATTER, front_matter_of
from api.text.cpu_limit import check_cpu
from api.text.headings import headings as headings_of
from api.text.headings import is_label, join_title
from api.text.note_marks import silence_notes, superscript
from api.text.paragraphs import is_pause
from shared.document import Document

MARKDOWN_OPTIONS = (
    pyromark.Options.ENABLE_TABLES
    | pyromark.Options.ENABLE_STRIKETHROUGH
    | pyromark.Options.ENABLE_FOOTNOTES
    | pyromark.Options.ENABLE_HEADING_ATTRIBUTES
)
# YAML at the beginning: a text may also begin with a thematic break. With an empty line in it, each
# line has to look like YAML.
_KEY = r"[\"']?[\w-]+[\"']?:"
FRONT_MATTER = re.compile(
    rf"\A---[ \t]*\n(?=(?:[#].*\n)*{_KEY})(?:(?:(?![ \t]*\n).*\n)*?"
    rf"|(?:[ \t]*\n|[ \t]+.*\n|#.*\n|-[ \t].*\n|{_KEY}(?:[ \t].*)?\n)*?)"
    r"(?:---|\.\.\.)[ \t]*(?:\n|\Z)"
)
URL = re.compile(r" ?\b(?:https?://|www\.)\S*[^\s.,;:!?)\]}'\"”’»]")
MAX_EVENTS = 2_000_000  # a dense text of 5 million characters has 700,000
EVENTS_PER_CPU_CHECK = 1_000  # between two checks of the CPU time
INLINE_TAGS = frozenset(
    ("Emphasis", "Strong", "Strikethrough", "Link", "Image", "TableCell", "Superscript")
)
MAX_LABEL_CHARS = 4  # of a link to a note, such as `1` or `↩`
# What is never closed goes on to the end, so that the search takes linear time.
_TAG = re.compile(
    r"<!--(?:.*?-->|.*)|<(script|style)\b(?:.*?</\1>|.*)|<[^<>]*>", re.DOTALL | re.IGNORECASE
)
NOTE_ANCHOR = re.compile(r"#(?:_?ftn|fn|footnote|endnote|note|cite)(?:ref)?[-_:.]?\w{1,20}\Z")


def read(file: BinaryIO, reading: Reading) -> Document:
    """Read CommonMark with tables, strikethrough and footnotes.

    Paragraphs, headings, list items and the rows of a table become paragraphs. The text of links
    stays, that of images if the options say so. Left out are URLs, blocks of code, HTML, comments,
    footnotes and YAML at the beginning. Chapters are the headings of levels 1 and 2, else those of
    the highest level, else those of a plain text; the title is that of the YAML, else the only
    heading of level 1.
    """
    source = plain.decode(file, reading).replace("\r\n", "\n")
    front_matter = FRONT_MATTER.match(source)
    book = front_matter_of(front_matter[0], reading) if front_matter else NO_FRONT_MATTER
    builder = DocumentBuilder(reading.max_chars)
    headings = []
    left_out: Counter[str] = Counter()
    found = list(_paragraphs(FRONT_MATTER.sub("", source), reading, left_out)) or [(0, "")]
    lines = PARAGRAPH_SEPARATOR.join(line(URL.sub("", paragraph)) for _, paragraph in found)
    silenced, skipped, unlinked = silence_notes(lines, skip=reading.options.notes is Notes.SKIP)
    warn_of_notes(skipped + left_out["notes"], reading)
    if left_out["code"] or left_out["HTML"]:
        told = (
            f"blocks that are left out: {left_out['code']:,} of code, {left_out['HTML']:,} of HTML"
        )
        reading.warnings.add("blocks_skipped", told)
    warn_of_marks(unlinked, reading)
    warn_of_scripts(silenced, reading)
    silenced = plain.without_contents(silenced, reading)
    for (level, _), paragraph in zip(found, silenced.split(PARAGRAPH_SEPARATOR), strict=True):
        start = builder.end
        added = builder.add(paragraph)
        if level and added:
            headings.append((level, added, start))
    _mark_chapters(headings, builder)
    titles = [name for level, name, _ in headings if level == 1]
    title = book.title or (titles[0] if len(titles) == 1 else None)
    document = builder.document(name=title, author=book.author, language=book.language)
    if not headings:  # those of a plain text
        document = document._replace(chapters=headings_of(document.text))
    return select(document._replace(details=book.details), reading, keep_length=False)


def _mark_chapters(headings: Sequence[tuple[int, str, int]], builder: DocumentBuilder) -> None:
    """Mark the chapters of headings, each with its level and start: `1`, `The Lamp` are one."""
    deepest = max(2, min((level for level, _, _ in headings), default=0))
    label, begun, after = "", 0, -1  # a heading such as `1`, its start, and the start after it
    for level, name, start in headings:
        if level <= deepest and start == after:
            builder.mark(join_title(label, name), begun)
            after = -1
        elif level <= deepest:
            builder.mark(name, start)
            label, begun = name, start
            after = start + len(name) + len(PARAGRAPH_SEPARATOR) if is_label(name) else -1


def _paragraphs(source: str, reading: Reading, left_out: Counter[str]) -> Iterator[tuple[int, str]]:
    """Each paragraph with its level: that of a heading, or 0; counts what is left out."""
    words: list[str] = []
    markup: list[str] = []  # of a block of HTML
    level, unspoken, raised = 0, 0, False
    mark: int | None = None  # the number of words before a link to a note
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
            case {"Start": {"Link": {"dest_url": str(url)}}} if not unspoken and (
                NOTE_ANCHOR.match(url)
            ):
                mark = len(words)
            case {"End": "Link"} if mark is not None:
                # As a mark of a plain text, to be found with its note.
                label = "".join(words[mark:]).strip("[]() ")
                is_word = len(label) > MAX_LABEL_CHARS
                words[mark:] = [f"[{label}]" if label.isdecimal() else label * is_word]
                mark = None
            case {"Start": {"FootnoteDefinition": _}} if skips and not unspoken:
                left_out["notes"] += 1
                unspoken += 1
            case {"Start": tag} if unspoken or _name(tag) == "CodeBlock":
                left_out["code"] += not unspoken
                unspoken += 1
            case {"End": _} if unspoken:
                unspoken -= 1
            case {"Html": text}:
                markup.append(text)
            case {"End": "HtmlBlock"}:
                left_out["HTML"] += any(map(str.isalnum, _TAG.sub("", "".join(markup))))
                markup.clear()
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
            case "SoftBreak":
                words.append(" ")
            case "HardBreak" | {"InlineHtml": "<br>" | "<br/>" | "<br />"}:
                words.append(" " if level else LINE_BREAK)
            case {"InlineHtml": str(tag)} if not unspoken and is_pause(tag):
                words.append(tag)
            case {"Start": "TableCell"}:
                words.append(", " if words else "")
            case {"Start": tag} | {"End": tag} if _name(tag) not in INLINE_TAGS:
                for paragraph in split_lines("".join(words)):
                    yield level, paragraph
                words.clear()
                level, alt = _level(tag), ""
    yield from ((level, paragraph) for paragraph in split_lines("".join(words)))


def _name(tag: str | Mapping[str, Any]) -> str:
    return tag if isinstance(tag, str) else next(iter(tag))


def _level(tag: str | Mapping[str, Any]) -> int:
    """The level of a heading that begins; 0 for any other tag, and at the heading's end."""
    match tag:
        case {"Heading": {"level": level}}:
            return int(level[1:])
        case _:
            return 0
