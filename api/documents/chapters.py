"""The chapters of a book: from its contents, or from the headings of its pages."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from api.documents.blocks import Block, Page
from api.documents.matter import SKIPPED_KINDS, kind_of_title
from api.documents.opf import Entry
from api.documents.reading import Reading
from api.text.contents_page import CONTENTS_TITLE
from api.text.headings import MAX_HEADING_CHARS, is_heading_line, is_label, join_title

MAX_TEXT_CHARS = 3 * MAX_HEADING_CHARS  # with white space; a longer block is no heading
MIN_CONTENTS_LINKS = 3
MIN_LINKED_SHARE = 0.5  # of the letters of a page of contents
_WORD = re.compile(r"\w+")
LookUp = Callable[[str, str], tuple[str | None, str]]


class Heading(NamedTuple):
    """A heading on a page: the number of its first block, and its tag such as `h2`."""

    title: str
    block: int
    tag: str


def find_contents_pages(pages: Sequence[Page], named: Collection[str], look_up: LookUp) -> set[str]:
    """The names of the pages of contents.

    Such a page has a heading like `Contents`, or is `named` so by the book, and most of its text is
    links to other pages of the book. None counts if there is no other text.
    """
    names = {page.name for page in pages if page.blocks}
    found = {
        page.name for page in pages if page.blocks and _lists_pages(page, named, names, look_up)
    }
    return set() if found == names else found


def _lists_pages(
    page: Page, named: Collection[str], names: Collection[str], look_up: LookUp
) -> bool:
    text = [block for block in page.blocks if not block.is_heading]
    is_titled = CONTENTS_TITLE.fullmatch(page.blocks[0].line) is not None
    if is_titled and text and text[0] is page.blocks[0]:
        text = text[1:]
    targets = set[str]()
    links = linked = letters = 0
    for block in text:
        for run in block.runs:
            letters += len(run.text.strip())
            if run.href is None or not run.text.strip():
                continue
            target, _ = look_up(page.name, run.href)
            if target is not None and target != page.name and target in names:
                links, linked = links + 1, linked + len(run.text.strip())
                targets.add(target)
    needed = MIN_CONTENTS_LINKS if is_titled or page.name in named else 3 * MIN_CONTENTS_LINKS
    is_short = is_titled and links > 1
    return (links >= needed or is_short) and linked >= MIN_LINKED_SHARE * letters


def headings(page: Page) -> list[Heading]:
    """The headings of a page: heading elements, and paragraphs that look like one.

    Headings in a row of which the first is a number or its like are one: `1` and `The Lamp` give
    `1. The Lamp`, and `Chapter` and `One` give `Chapter One`.
    """
    found: list[Heading] = []
    is_first, label = True, False  # `label`: the block before is a heading without a title
    last = -2  # the number of the last heading's block
    for number, block in enumerate(page.blocks):
        if not block.is_spoken:
            continue
        text = block.text
        is_long = len(text) > MAX_HEADING_CHARS and not block.is_heading
        if len(text) > MAX_TEXT_CHARS or (
            is_long and len(" ".join(text.split())) > MAX_HEADING_CHARS
        ):
            is_first = label = False
            continue
        title = block.line
        if not title:
            continue
        tag = block.tag if block.is_heading else _paragraph_tag(block, title, is_first=is_first)
        is_first = False
        whole = f"{found[-1].title} {title}" if found and number == last + 1 else ""
        if tag and block.is_heading and _is_numbered(found, whole):
            found[-1] = found[-1]._replace(title=whole)
            label, last = is_label(whole), number
        elif tag and label and not is_label(title):
            label = False
            found[-1] = Heading(
                join_title(found[-1].title, title), found[-1].block, min(tag, found[-1].tag)
            )
        elif tag:
            found.append(Heading(title, number, tag))
            label, last = is_label(title), number
        else:
            label = False
    return found


def _is_numbered(found: Sequence[Heading], whole: str) -> bool:
    """True if the last heading, as `Chapter`, is one by its words only as a part of the `whole`."""
    return bool(whole) and not is_heading_line(found[-1].title) and is_label(whole)


def _paragraph_tag(block: Block, title: str, *, is_first: bool) -> str | None:
    """`h2` for a paragraph that is a heading: by its words, or bold and the first of a page."""
    if len(title) > MAX_HEADING_CHARS:
        return None
    is_bold_title = block.is_bold and is_first and not title.endswith((".", ",", ";", "。"))
    return "h2" if is_bold_title or is_heading_line(title) else None


def choose(
    pages: Sequence[Page], entries: Sequence[Entry], reading: Reading
) -> dict[str, list[Heading]]:
    """The chapters by page: those of the contents, or of the headings of pages that it leaves out.

    The contents are trusted if they list more pages with text, but for a cover and its like, than
    there are others that begin with a heading of such a level; or as many, mostly under the words
    of their headings. Else, as with a single entry `Start`, headings are the chapters, and an entry
    counts only for a page without one.
    """
    ids = {page.name: page.ids for page in pages}
    spoken = {page.name for page in pages if any(block.is_spoken for block in page.blocks)}
    listed: dict[str, list[Heading]] = {}
    for entry in entries:
        if entry.page in spoken:
            block = ids[entry.page].get(entry.anchor, (0, 0))[0]
            listed.setdefault(entry.page, []).append(Heading(entry.title, block, ""))
    found = {page.name: headings(page) for page in pages}
    for name, own in listed.items():
        # Entries whose places are not on the page.
        if len(own) > 1 and len({heading.block for heading in own}) == 1 < len(found[name]):
            listed[name] = _chapters(found[name], is_one_page=len(spoken) == 1)
    level = max((found[name][0].tag for name in listed if found[name]), default="h6")
    others = [name for name in spoken - listed.keys() if found[name]]
    alike = sum(found[name][0].tag <= max(level, "h2") for name in others)
    telling = [
        name
        for name, own in listed.items()
        if not all(kind_of_title(heading.title) in SKIPPED_KINDS for heading in own)
    ]
    agreed = sum(_agrees(listed[name], found[name]) for name in telling)
    if listed and (len(telling) > alike or (len(telling) == alike and 2 * agreed >= alike)):
        return listed
    if entries and others:
        told = f"the contents list {len(listed)} of {len(spoken)} pages: headings are the chapters"
        reading.warnings.add("chapters_guessed", told)
    is_one_page = len(spoken) == 1
    of_headings = {name: _chapters(own, is_one_page=is_one_page) for name, own in found.items()}
    return {name: of_headings[name] or listed.get(name, []) for name in found}


def _agrees(entries: Sequence[Heading], found: Sequence[Heading]) -> bool:
    """True if the first entry of a page has words of the page's first heading, or there is none."""
    if not found:
        return True
    said, seen = (set(_WORD.findall(each[0].title.casefold())) for each in (entries, found))
    return said <= seen or seen <= said


def _chapters(found: Sequence[Heading], *, is_one_page: bool) -> list[Heading]:
    """The headings of a page that begin chapters: those of the level of the first one.

    A book of a single page may have its title above them, at a level of its own.
    """
    if not found:
        return []
    top = [heading for heading in found if heading.tag == found[0].tag]
    if is_one_page and len(top) == 1 and len(found) > 2:
        second = min((heading.tag for heading in found[1:]), default="")
        top += [heading for heading in found[1:] if heading.tag == second]
    return top
