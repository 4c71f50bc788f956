"""Footnotes and endnotes of a book: their marks in the text, and the notes themselves."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from api.documents.blocks import Block, Page, Run
from api.documents.reading import Notes, Reading, warn_of_notes
from api.text.cpu_limit import check_cpu
from api.text.note_marks import NOTES_TITLE, is_exponent, superscript

# `1`, `[12]`, `*`, `†`; letters and Roman numbers only if they are raised or in brackets.
_MARK = re.compile(r"[\[(]?\s?(?:\d{1,4}|[*†‡§¶#]{1,4}|[⁰¹²³⁴-⁹]{1,4})\s?[\])]?[.:]?")
_LETTER_MARK = re.compile(r"[\[(]?\s?(?:[a-z]|[ivxlc]{1,6})\s?[\])]?", re.IGNORECASE)
_RAISED_MARK = re.compile(r"[\[(]?(?:\d{1,3}|[*†‡§¶]{1,4})[\])]?(?:[,;–-]\s?\d{1,3})*")
_SEPARATORS = re.compile(r"[\s,;–-]*")
MAX_NOTE_BLOCKS = 50  # blocks of a note; a longer part of a book is none
MAX_CONTINUED_BLOCKS = 5  # blocks between two notes that belong to the first of them
MAX_BACK_LINKS = 64  # links in a note that are looked at
MAX_STARTING_RUNS = 8
LookUp = Callable[[str, str], tuple[str | None, str]]


class _Place(NamedTuple):
    """A block, by the numbers of its page and of itself."""

    page: int
    block: int


class _Target(NamedTuple):
    """The blocks of a note, on one page."""

    page: int
    first: int
    last: int


class _Mark(NamedTuple):
    """A link that may be the mark of a note."""

    place: _Place
    run: Run
    target: _Target


def remove_notes(pages: Sequence[Page], look_up: LookUp, reading: Reading) -> None:
    """Take the marks of notes out of the text, and the notes too if `reading` skips them.

    `look_up` gives the page and the anchor of a link on a page. A linked number, letter or sign is
    the mark of a note if its target links back to it or lies in a part of notes: one of that type,
    class or heading. Exponents become superscripts: `10<sup>6</sup>` → `10⁶`.
    """
    search = _Search(pages, look_up)
    marks = _one_way(search.marks())
    for mark in marks:
        mark.run.text = ""
    skipped = sum(page.skipped_notes for page in pages)
    if reading.options.notes is Notes.SKIP:
        skipped += _skip(pages, {mark.target for mark in marks})
    unlinked = sum(_settle_raised(block) for page in pages for block in page.blocks)
    warn_of_notes(skipped, reading)
    if unlinked:
        reading.warnings.add(
            "note_marks_skipped",
            f"raised numbers without a link that were taken for marks of notes: {unlinked:,}",
        )


def _one_way(marks: Sequence[_Mark]) -> list[_Mark]:
    """The marks whose note has no mark that leads back: numbers of verses and their list do."""
    ways = {(mark.place, _Place(mark.target.page, mark.target.first)) for mark in marks}
    return [
        mark
        for mark in marks
        if (_Place(mark.target.page, mark.target.first), mark.place) not in ways
    ]


class _Search:
    """The search for the marks of notes."""

    def __init__(self, pages: Sequence[Page], look_up: LookUp) -> None:
        self._pages = pages
        self._look_up = look_up
        self._numbers = {page.name: number for number, page in enumerate(pages)}
        self._in_notes = [[part != 0 for part in _parts(page.blocks)] for page in pages]
        self._back_links: dict[_Target, dict[_Place, bool]] = {}

    def marks(self) -> list[_Mark]:
        """The marks in reading order."""
        return [mark for mark in self._candidates() if self._is_mark(mark)]

    def _candidates(self) -> Iterator[_Mark]:
        for number, page in enumerate(self._pages):
            for index, block in enumerate(page.blocks):
                check_cpu()
                for run in block.runs:
                    if run.href and _may_mark(run):
                        target = self._target(number, run.href)
                        if target and not self._is_part(target):
                            yield _Mark(_Place(number, index), run, target)

    def _target(self, page: int, href: str) -> _Target | None:
        name, anchor = self._look_up(self._pages[page].name, href)
        number = self._numbers.get(name or "")
        if number is None or anchor not in self._pages[number].ids:
            return None
        return _Target(number, *self._pages[number].ids[anchor])

    def _is_part(self, target: _Target) -> bool:
        """True if the target is too long for a note, or has a heading in it."""
        if not 0 <= target.last - target.first < MAX_NOTE_BLOCKS:
            return True
        blocks = self._pages[target.page].blocks[target.first : target.last + 1]
        return any(block.is_heading for block in blocks)

    def _is_mark(self, mark: _Mark) -> bool:
        place, target = mark.place, mark.target
        if place.page == target.page and target.first <= place.block <= target.last:
            return False
        block = self._pages[place.page].blocks[place.block]
        if block.is_heading and not mark.run.is_raised:
            return False
        from_notes = self._in_notes[place.page][place.block]
        if self._in_notes[target.page][target.first]:
            return not from_notes
        back = self._links_of(target)
        if place in back:
            starts, back_starts = _starts(block, mark.run), back[place]
            if starts != back_starts:
                return not starts
            return not from_notes and place < _Place(target.page, target.first)
        note = self._pages[target.page].blocks[target.first]
        return mark.run.is_raised and _label(note.text) == _label(mark.run.text) != ""

    def _links_of(self, target: _Target) -> dict[_Place, bool]:
        """The blocks that a note links to; True for a link with which the note's text starts."""
        if target in self._back_links:
            return self._back_links[target]
        found: dict[_Place, bool] = {}
        left = MAX_BACK_LINKS
        for block in self._pages[target.page].blocks[target.first : target.last + 1]:
            for run in block.runs:
                if run.href is None or left == 0:
                    continue
                left -= 1
                back = self._target(target.page, run.href)
                if back and back.last - back.first < 3:
                    for index in range(back.first, back.last + 1):
                        place = _Place(back.page, index)
                        found[place] = found.get(place, False) or _starts(block, run)
        self._back_links[target] = found
        return found


def _may_mark(run: Run) -> bool:
    text = run.text.strip()
    if len(text) > 12:
        return False
    is_bracketed = text[:1] in ("[", "(")
    letter = (run.is_raised or is_bracketed) and _LETTER_MARK.fullmatch(text)
    return bool(letter or _MARK.fullmatch(text))


def _starts(block: Block, run: Run) -> bool:
    """True if no letter or digit is before a run, which is among the first of its block."""
    for before in block.runs[:MAX_STARTING_RUNS]:
        if before is run:
            return True
        if any(map(str.isalnum, before.text)):
            return False
    return True


def _label(text: str) -> str:
    """The number or sign with which a text starts: `[3] On` → `3`."""
    found = re.match(r"[\s\[(]*(\d{1,4}|[*†‡§¶]{1,4}|\w(?!\w))", text)
    return found[1] if found else ""


def _parts(blocks: Sequence[Block]) -> Iterator[int]:
    """Yield for each block the number of the part of notes around it, or 0.

    Such a part has a name like `footnotes`, or lies under a heading like `Notes`.
    """
    titled: str | None = None  # the tag of the heading such as `Notes` that is in force
    part = 0
    for number, block in enumerate(blocks, 1):
        if block.is_heading:
            if NOTES_TITLE.fullmatch(block.text.strip()):
                titled, part = block.tag, -number
            elif titled is not None and block.tag <= titled:
                titled, part = None, 0
        yield block.region or part


def _skip(pages: Sequence[Page], targets: set[_Target]) -> int:
    """Mark the blocks of notes as not spoken, and the headings over nothing else."""
    noted: dict[int, dict[int, int]] = {}
    for target in targets:
        ends = noted.setdefault(target.page, {})
        last = _last(pages[target.page].blocks, target)
        ends[target.first] = max(last, ends.get(target.first, 0))
    for number, ends in noted.items():
        blocks = pages[number].blocks
        _continue(blocks, ends)
        for first, last in ends.items():
            for block in blocks[first : last + 1]:
                block.is_spoken = False
        _skip_regions(blocks)
        _skip_headings(blocks)
    return len({(target.page, target.first) for target in targets})


def _last(blocks: Sequence[Block], target: _Target) -> int:
    """The last block of a note: of one that has nothing but its mark, its text is in the next."""
    last = target.last
    if (
        last == target.first
        and _MARK.fullmatch(blocks[last].text.strip())
        and last + 1 < len(blocks)
    ):
        last += not blocks[last + 1].is_heading
    if blocks[target.first].tag == "dt":
        while last + 1 < len(blocks) and blocks[last + 1].tag == "dd":
            last += 1
    return last


def _continue(blocks: Sequence[Block], ends: dict[int, int]) -> None:
    """Let each note go on to the next one, if there are few paragraphs and no heading between."""
    starts = sorted(ends)
    for first, following in pairwise(starts):
        between = blocks[ends[first] + 1 : min(following, ends[first] + 2 + MAX_CONTINUED_BLOCKS)]
        if len(between) <= MAX_CONTINUED_BLOCKS and not any(each.is_heading for each in between):
            ends[first] = max(ends[first], following - 1)


def _skip_regions(blocks: Sequence[Block]) -> None:
    """Skip a part of notes whole if its first paragraph is a note."""
    first: dict[int, bool] = {}
    parts = list(_parts(blocks))
    for block, part in zip(blocks, parts, strict=True):
        if part and not block.is_heading:
            first.setdefault(part, not block.is_spoken)
    for block, part in zip(blocks, parts, strict=True):
        if first.get(part):
            block.is_spoken = False


def _skip_headings(blocks: Sequence[Block]) -> None:
    """Skip a heading of notes that has only skipped notes under it, and all on a page of notes."""
    only_notes = not any(block.is_spoken for block in blocks if not block.is_heading)
    has_note = False
    over_text = False
    for block in reversed(blocks):
        if block.is_heading:
            is_titled = NOTES_TITLE.fullmatch(block.text.strip()) is not None
            if has_note and not over_text and (is_titled or only_notes):
                block.is_spoken = False
            else:
                over_text = has_note = False
        elif block.is_spoken:
            over_text = True
        else:
            has_note = True


def _settle_raised(block: Block) -> int:
    """Make exponents of raised numbers, and take out marks of notes; returns their number."""
    if not any(run.is_raised for run in block.runs):
        return 0
    removed = 0
    before = ""
    for number, run in enumerate(block.runs):
        text = run.text.strip()
        if run.is_raised and text:
            if text.isdecimal() and is_exponent(before, text):
                run.text = superscript(text)
            elif _RAISED_MARK.fullmatch(text) and before.strip():
                run.text = ""
                removed += 1
            elif text.isdecimal() and not before.strip():  # the number of a verse
                run.text = f"{run.text} "
            elif _SEPARATORS.fullmatch(text) and _beside_mark(block.runs, number):
                run.text = ""
        before = (before + run.text)[-40:]
    return removed


def _beside_mark(runs: Sequence[Run], number: int) -> bool:
    """True if a raised run beside this one has been taken out."""
    beside = (*runs[max(0, number - 1) : number], *runs[number + 1 : number + 2])
    return any(run.is_raised and not run.text and run.alt is None for run in beside)
