"""The sections of a document, their lengths, and the choice among them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

from api.documents.matter import SKIPPED_KINDS, Kind
from api.documents.reading import FrontMatter, Reading
from api.text.lines import PARAGRAPH_END
from api.text.note_marks import SILENT, silence
from api.text.paragraphs import CHAPTER_PAUSE_S, PARAGRAPH_PAUSE_S
from shared.document import Document, Section
from shared.durations import expected_seconds
from shared.errors import InvalidRequest

_CHOSEN = r"\s*[0-9]{1,5}\s*(-\s*([0-9]{1,5}\s*)?)?"
SELECTION_PATTERN = rf"^{_CHOSEN}(,{_CHOSEN})*$"
_RANGE = re.compile(r"([0-9]+)\s*(-)?\s*([0-9]+)?")


def section(title: str | None, kind: str, text: str, *, is_spoken: bool) -> Section:
    """The section of a text, with the length that is expected of its speech."""
    breaks = text.count("\n\n") + text.count(PARAGRAPH_END)
    seconds = expected_seconds(text) + breaks * PARAGRAPH_PAUSE_S + CHAPTER_PAUSE_S
    return Section(title, kind, len(text), round(seconds, 1), is_spoken)


def selected(kinds: Sequence[str], reading: Reading) -> set[int]:
    """The indices of the sections that are spoken: those that were chosen, else by their kinds.

    Raises `InvalidRequest` if a number was chosen that none has.
    """
    if reading.options.chapters is not None:
        return set(_numbers(reading.options.chapters, len(kinds)))
    if reading.options.front_matter is FrontMatter.READ:
        return set(range(len(kinds)))
    by_kind = {number for number, kind in enumerate(kinds) if kind not in SKIPPED_KINDS}
    # A book that is nothing but a glossary is read.
    return by_kind or set(range(len(kinds)))


def select(document: Document, reading: Reading, *, keep_length: bool) -> Document:
    """A document of plain text or Markdown with its sections, cut down to those that were chosen.

    With `keep_length`, the others are silenced instead, so that the text's ranges hold.
    """
    text = document.text
    spans = _spans(document)
    spoken = selected([Kind.CHAPTER] * len(spans), reading)
    sections = tuple(
        section(
            title,
            Kind.TEXT if title is None else Kind.CHAPTER,
            text[start:end].replace(SILENT, "").strip(),
            is_spoken=number in spoken,
        )
        for number, (title, start, end) in enumerate(spans)
    )
    if len(spoken) == len(spans):
        return document._replace(sections=sections)
    left_out = [span[1:] for number, span in enumerate(spans) if number not in spoken]
    kept = [(spans[number][1], spans[number][2]) for number in sorted(spoken)]
    starts = {start for start, _ in kept}
    chapters = [chapter for chapter in document.chapters if chapter.start in starts]
    if keep_length:
        text = silence(text, left_out)
    else:
        moved = dict[int, int]()
        size = 0
        for start, end in kept:
            moved[start] = size
            size += end - start
        text = "".join(text[start:end] for start, end in kept).rstrip()
        chapters = [each._replace(start=moved[each.start]) for each in chapters]
    return document._replace(text=text, chapters=tuple(chapters), sections=sections)


def _spans(document: Document) -> list[tuple[str | None, int, int]]:
    """The title, start and end of each section: the chapters, and text before the first one."""
    begun: list[tuple[str | None, int]] = list(document.chapters)
    first = begun[0][1] if begun else len(document.text)
    if any(map(str.isalnum, document.text[:first])):
        begun.insert(0, (None, 0))
    ends = [*(start for _, start in begun), len(document.text)][1:]
    return [(title, start, end) for (title, start), end in zip(begun, ends, strict=True)]


def _numbers(chosen: str, total: int) -> Iterator[int]:
    """Yield the indices of `3-7,9`, which are 2 to 6 and 8; `7-` has all from the seventh on."""
    for each in chosen.split(","):
        found = _RANGE.match(each.strip())
        first = int(found[1]) if found else 0
        last = int(found[3]) if found and found[3] else (total if found and found[2] else first)
        if not 1 <= first <= last <= total:
            raise InvalidRequest(
                f"the text has {total:,} sections, of which {each.strip()!r} are none: "
                "POST /v1/documents lists them",
                param="chapters",
            )
        yield from range(first - 1, last)


def warn_of_matter(left_out: Collection[str], reading: Reading) -> None:
    """Warn of front and back matter that is left out, by its names, if there is any."""
    if left_out:
        reading.warnings.add(
            "front_matter_skipped",
            f"left out: {', '.join(left_out)}; `front_matter: read` has them spoken",
        )
