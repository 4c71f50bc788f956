"""Scripts that no model speaks, such as Arabic."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from typing import NamedTuple

MIN_LETTERS = 10  # fewer are words such as `α` in a formula, unless they are much of the text
MIN_SHARE = 0.2
_STARTS = (
    *((0x370, "Greek"), (0x400, ""), (0x530, "Armenian"), (0x590, "Hebrew"), (0x600, "Arabic")),
    *((0x700, "Syriac"), (0x750, "Arabic"), (0x780, "Thaana"), (0x7C0, "N'Ko")),
    *((0x8A0, "Arabic"), (0x900, "Devanagari"), (0x980, "Bengali"), (0xA00, "Gurmukhi")),
    *((0xA80, "Gujarati"), (0xB00, "Odia"), (0xB80, "Tamil"), (0xC00, "Telugu")),
    *((0xC80, "Kannada"), (0xD00, "Malayalam"), (0xD80, "Sinhala"), (0xE00, "Thai")),
    *((0xE80, "Lao"), (0xF00, "Tibetan"), (0x1000, "Burmese"), (0x10A0, "Georgian")),
    *((0x1100, ""), (0x1200, "Ethiopic"), (0x1400, ""), (0x1780, "Khmer"), (0x1800, "Mongolian")),
    *((0x18B0, ""), (0xFB1D, "Hebrew"), (0xFB50, "Arabic"), (0xFE00, ""), (0xFE70, "Arabic")),
)
_PLACES = [start for start, _ in _STARTS]
_UNSPOKEN = re.compile(
    "[\u0370-\u03ff\u0530-\u10ff\u1200-\u139f\u1780-\u18af\ufb1d-\ufdff\ufe70-\ufefc]+"
)


class Unspoken(NamedTuple):
    """Letters of a script that no model speaks."""

    script: str
    letters: int


def unspoken_script(text: str) -> Unspoken | None:
    """The script of most letters that no model speaks, if they are many or much of the text."""
    if text.isascii():
        return None
    runs = _UNSPOKEN.findall(text)
    if not runs:
        return None
    counts: Counter[str] = Counter()
    for run in runs:
        counts[_STARTS[bisect_right(_PLACES, ord(run[0])) - 1][1]] += sum(map(str.isalpha, run))
    total = sum(counts.values())
    is_much = total >= MIN_LETTERS or (
        len(text) < MIN_LETTERS / MIN_SHARE and total >= MIN_SHARE * sum(map(str.isalpha, text))
    )
    script, _ = counts.most_common(1)[0]
    return Unspoken(script, total) if total and is_much else None
