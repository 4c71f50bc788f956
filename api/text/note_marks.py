"""Marks of notes in a text: `dead[1]`, `dead¹`; and exponents, which are none."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from api.text.cpu_limit import check_cpu

NOTES_TITLE = re.compile(
    r"(?:foot|end)?notes?(?: and references)?|references and notes|(?:fu(?:ß|ss)|end)noten"
    r"|anmerkungen|notes de bas de page|notas?(?: al pie| finales| de rodapé)?|note(?: a piè di"
    r" pagina)?|примечани[ея]|сноски|注[释釋記]?|註[釋解]?|脚注|腳註|尾注|译注|譯註|訳注|原注|각주"
    r"|미주|주석",
    re.IGNORECASE,
)
_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_UNITS = frozenset(("mm", "cm", "dm", "km", "ft", "in", "yd", "mi", "sec", "мм", "см", "км"))


def is_exponent(before: str, raised: str) -> bool:
    """True if a raised number after a text is an exponent: `10⁶`, `x²`, `20 km²`, `(a + b)³`."""
    if before[-1:].isdecimal():
        return True
    if raised not in ("2", "3", "4", "²", "³", "⁴"):
        return False
    if before.endswith(")"):
        return True
    word = re.search(r"(?:[=+−×·/]\s?)?(?<![^\W\d_])([^\W\d_]{1,3})\Z", before[-5:])
    return word is not None and (
        len(word[1]) == 1 or word[1].lower() in _UNITS or word[0] != word[1]  # `E = mc²`
    )


def superscript(number: str) -> str:
    """A number in superscript digits."""
    return number.translate(_SUPERSCRIPTS)


# `[1]`, `[2, 3]` after a word or its mark, perhaps with a space; `¹`; `†`; `*`.
_MARK = re.compile(
    r"(?<=[\w.,;:!?…\"'”’»)\]])(?: ?\[(?P<bracketed>\d{1,3})(?:[,–-] ?\d{1,3}){0,5}\]"
    r"|(?P<raised>[⁰¹²³⁴-⁹]{1,3})|(?P<sign>[†‡]|\*{1,3}(?![\w*])))"
)
_NOTE = re.compile(
    r"^[ \t\u3000]{0,8}(?:\[(?:Footnote )?(?P<bracketed>\d{1,3})(?:\]|:)|(?P<raised>[⁰¹²³⁴-⁹]{1,3})"
    r"|(?P<sign>[†‡]|\*{1,3}))[ \t]?(?=[^\s*])",
    re.MULTILINE,
)
_BLANK_LINE = re.compile(r"\n[ \t\r]*\n")
_LINE_CONTENT = re.compile(r"[^\r\n]+")
_NORMAL_DIGITS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")
SILENT = "\u200b"  # a character that is not spoken and joins what is beside it


class SilencedNotes(NamedTuple):
    """A text without notes: the numbers of notes that were skipped, and of marks without a note."""

    text: str
    skipped: int
    unlinked: int


def silence_notes(text: str, *, skip: bool) -> SilencedNotes:
    """A text of the same length without the marks of notes.

    A note is a paragraph or line that begins with a mark which is in the text too: `[1] See p. 3.`
    With `skip`, notes and the heading over them are silenced as well.

    Example: `dead[1].` and `[1] Or so.` become `dead.` and nothing.
    """
    notes = list(_notes(text))
    counts = Counter(note.name for note in notes)
    spans: list[tuple[int, int]] = []
    marked: dict[str, int] = {}  # the first mark of each name
    for mark in _MARK.finditer(text):
        check_cpu()
        name = _name(mark)
        start = mark.start()
        if mark["raised"] and is_exponent(text[max(0, start - 5) : start], mark[0]):
            # After a number, the next mark of notes that are there: `1905³` after `dead²`.
            is_next = counts[name] == 1 and str(int(name) - 1) in marked and name not in marked
            if not (is_next and text[start - 1].isdecimal()):
                continue
        is_loose = mark["sign"] is not None or text[start] == " "
        if is_loose and not (counts[name] == 1 if name.startswith("*") else counts[name]):
            continue
        marked.setdefault(name, start)
        spans.append(mark.span())
    bodies = [note for note in notes if marked.get(note.name, note.start) < note.start]
    if skip:
        spans += [(_title_start(text, note.start), note.end) for note in bodies]
    unlinked = sum(name not in counts for name in marked)
    return SilencedNotes(silence(text, spans), len(bodies) if skip else 0, unlinked)


class _Note(NamedTuple):
    name: str
    start: int
    end: int


def _name(match: re.Match[str]) -> str:
    raised = match["raised"]
    name: str = match["bracketed"] or match["sign"] or raised.translate(_NORMAL_DIGITS)
    return name


def _notes(text: str) -> Iterator[_Note]:
    """Yield the lines that begin with a mark, each to the next one or to a blank line."""
    found = list(_NOTE.finditer(text))
    for number, note in enumerate(found):
        check_cpu()
        following = found[number + 1].start() if number + 1 < len(found) else len(text)
        blank = _BLANK_LINE.search(text, note.end(), following)
        yield _Note(_name(note), note.start(), blank.start() if blank else following)


def _title_start(text: str, start: int) -> int:
    """The start of the title before a note, such as `Notes`; without one, that of the note."""
    before = text[max(0, start - 200) : start]
    title = before.rstrip().rpartition("\n")[2]
    if NOTES_TITLE.fullmatch(title.strip().rstrip(":.")):
        return start - len(before) + len(before.rstrip()) - len(title)
    return start


def silence(text: str, spans: Sequence[tuple[int, int]]) -> str:
    """The text with a silent character for each in the spans, but for ends of lines."""
    if not spans:
        return text
    parts: list[str] = []
    done = 0
    for start, end in sorted(spans):
        parts.append(text[done:start])
        parts.append(
            _LINE_CONTENT.sub(lambda found: SILENT * len(found[0]), text[max(done, start) : end])
        )
        done = max(done, end)
    parts.append(text[done:])
    return "".join(parts)
