"""Pages of contents in a plain text, whose entries are in the text again as titles."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from api.text.cpu_limit import check_cpu
from api.text.headings import is_heading

CONTENTS_TITLE = re.compile(
    r"(?:table of )?contents|inhalt(?:sverzeichnis)?|table des matières|sommaire|[íi]ndice|indice"
    r"|sum[áa]rio|conte[úu]do|contenido|sommario|оглавление|содержание|目\s?[录錄次]|もくじ|차례|목차",
    re.IGNORECASE,
)
MAX_ENTRY_CHARS = 120
MIN_ENTRIES = 3
MIN_PROVEN_SHARE = 0.6  # of the entries under a title
SEARCHED_CHARS = 200_000  # from the beginning of the text
MAX_CANDIDATES, MAX_ROW_LINES = 4, 1_000
_LINE = re.compile(r"[^\n\r\u2029]+")
# Between an entry and the number of its page: leaders, a tab or two spaces.
_PAGE_NUMBER = re.compile(r"(?:[ .·…_]{2,}|\t)\s*[0-9ivxlc]{1,5}\s*\Z|[ .·…_]{3,}\Z")
_MARKS = re.compile(r"[\W_]+")


class _Line(NamedTuple):
    start: int
    end: int
    text: str
    name: str  # without the number of a page, and without marks


def contents_pages(text: str) -> list[tuple[int, int]]:
    """The ranges of the pages of contents in a plain text, with their titles.

    Such a page is three or more short lines in a row, under a title like `Contents` or each of them
    a heading. Most of them, without a title all of them, have numbers of pages, or are in the text
    again as lines of their own. It ends before the first of them comes again.
    """
    found: list[tuple[int, int]] = []
    lines = list(_lines(text[:SEARCHED_CHARS]))
    for row in islice(_candidates(lines), MAX_CANDIDATES):
        if found and row[0].start < found[-1][1]:
            continue
        is_titled = CONTENTS_TITLE.fullmatch(row[0].name) is not None
        entries: dict[str, _Line] = {}
        for entry in row[is_titled:]:
            if entry.name in entries:
                break
            entries[entry.name] = entry
        if len(entries) < MIN_ENTRIES:
            continue
        *_, last = entries.values()
        later = {line.name for line in _lines(text[last.end :]) if line.name in entries}
        later |= {line.name for line in row[len(entries) + is_titled :]}
        end = proven = 0
        for number, entry in enumerate(entries.values(), 1):
            if entry.name in later or _PAGE_NUMBER.search(entry.text):
                proven += 1
                share = MIN_PROVEN_SHARE if is_titled else 1
                if number >= MIN_ENTRIES and proven >= share * number:
                    end = entry.end
        if end:
            found.append((row[0].start, end))
    return found


def _lines(text: str) -> Iterator[_Line]:
    for line in _LINE.finditer(text):
        check_cpu()
        shown, name = line[0].replace("\u200b", "").strip(), ""
        if not shown:
            continue
        if len(shown) <= MAX_ENTRY_CHARS:
            name = _MARKS.sub(" ", _PAGE_NUMBER.sub("", shown)).strip().casefold()
        yield _Line(*line.span(), shown, name)


def _candidates(lines: list[_Line]) -> Iterator[list[_Line]]:
    """Yield rows of lines that may be pages of contents, the title first if there is one."""
    number = 0
    while number < len(lines):
        check_cpu()
        is_titled = CONTENTS_TITLE.fullmatch(lines[number].name) is not None
        end = number + is_titled
        most = min(len(lines), number + MAX_ROW_LINES)
        while end < most and lines[end].name and (is_titled or is_heading(lines[end].text)):
            end += 1
        if end - number >= MIN_ENTRIES + is_titled:
            yield lines[number:end]
        number = number + 1 if is_titled else max(end, number + 1)
