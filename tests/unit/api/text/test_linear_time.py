"""No text takes more than linear time, whichever alternative of a pattern it goes through."""

import importlib
import io
import pkgutil
import re
import sys
import time
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import product

import pytest
import regex

import api
import shared
from api import documents
from api.jobs.subtitles import srt
from api.text.headings import headings
from api.text.lines import mark_lines
from api.text.normalise import CLUSTER, collapse_whitespace, map_offsets, normalise
from api.text.quotations import quotations
from api.text.segmentation import split
from shared.errors import QueueError
from shared.timings import SegmentTiming, Timings

# One of each kind of character that a pattern tells from others.
KINDS = ["a", "字", "1", "_", " ", "\n", "\r", ".", "-", "'", "\u0301", "\u200d", "🇦", "👨", "क"]
# Slower than this for each character is looked at again, with six times as many.
SLOW_S = 1e-6
LONGER = 6
LOOKS = 3
# Patterns that are never looked for within a text, and those that see 240 characters at the most.
WHOLE = {
    "api.keys.OWNER_PATTERN",
    "api.http.middleware._SAFE_ID",
    "api.documents.xhtml._FILE_NAME",
    "api.safe_http.addresses._NAME",
    "api.http.stored_response._RANGE",
    "api.http.headers._DURATION",
    "api.text.sentences._SHORT",
    "shared.settings._ORIGIN",
}
SHORT = {
    "api.documents.matter._TITLE",
    "api.text.contents_page._PAGE_NUMBER",
    "api.text.headings._HEADING",
    "api.text.headings._NO_TITLE",
}
Reading = Callable[[str], object]


def patterns() -> Iterator[tuple[str, re.Pattern[str] | regex.Pattern[str]]]:
    """Every compiled pattern over text of the packages that read what clients send."""
    for package in (api, shared):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if module.name.endswith("__main__"):
                continue
            for name, value in vars(importlib.import_module(module.name)).items():
                if isinstance(value, re.Pattern | regex.Pattern) and isinstance(value.pattern, str):
                    yield f"{module.name}.{name}", value


PATTERNS = dict(patterns())


def cpu_s(read: Reading, text: str) -> float:
    began_s = time.thread_time()
    with suppress(QueueError):  # to refuse it early is as good
        read(text)
    return time.thread_time() - began_s


def grows(read: Reading, made: Callable[[int], str], chars: int, slow_s: float) -> bool:
    """True if six times as long a text takes about 36 times as long, and not six."""
    if cpu_s(read, made(chars)) < slow_s * chars:
        return False
    # A machine that is shared slows down for moments: quadratic time is seen each time. The two
    # lengths take turns, so that one slow moment does not meet every reading of the short text.
    for _ in range(LOOKS):
        turns = [(cpu_s(read, made(chars)), cpu_s(read, made(LONGER * chars))) for _ in range(3)]
        short, long = map(min, zip(*turns, strict=True))
        if long <= LONGER**1.5 * short:
            return False
    return True


def units(pattern: str) -> Iterator[str]:
    """Units that may make a pattern slow if repeated: its marks and words, in pairs."""
    named = sorted({char for char in pattern if not char.isalnum() and not char.isspace()})
    words = re.findall(r"[a-z]{4,}", pattern)[:3]
    yield from named + KINDS + words
    yield from map("".join, product(named + words, named[:8] + KINDS))
    yield from map("".join, product(KINDS, named[:8] + words))


def test_there_are_patterns() -> None:
    assert {"api.text.line_breaking._BREAK", "api.text.quotations._QUOTATION"} <= set(PATTERNS)


@pytest.mark.parametrize("name", sorted(set(PATTERNS) - SHORT))
def test_a_pattern_takes_linear_time(name: str) -> None:
    pattern = PATTERNS[name]

    def read(text: str) -> object:
        return pattern.fullmatch(text) if name in WHOLE else list(pattern.finditer(text))

    for unit in units(pattern.pattern):
        for begun, ended in (("", ""), ("", "\x01"), ("x" + unit[0], "y")):
            assert not grows(read, repeated(begun, unit, ended), 2_000, SLOW_S), ascii(unit)


def repeated(begun: str, unit: str, ended: str) -> Callable[[int], str]:
    """A text of about so many characters, of one unit again and again."""
    return lambda chars: begun + unit * (chars // len(unit)) + ended


@pytest.mark.parametrize(
    ("pattern", "begun", "unit"),
    [
        (regex.compile(r"\X"), "x", "🇦"),
        (re.compile(r"bytes=\s*(\d*)\s*-"), "bytes=", " "),
    ],
    ids=["a cluster that looks back", "two runs of spaces side by side"],
)
def test_the_check_finds_quadratic_time(
    pattern: re.Pattern[str] | regex.Pattern[str], begun: str, unit: str
) -> None:
    """Those were here."""
    made = repeated(begun, unit, "x")
    assert grows(lambda text: list(pattern.finditer(text)), made, 2_000, SLOW_S)


def subtitles(text: str) -> str:
    """The subtitles of a segment of the longest length that settings allow."""
    segment = SegmentTiming(
        index=0,
        text=text[:2_000],
        start=0,
        end=1,
        start_s=0,
        end_s=9,
        chapter=None,
        truncated=False,
    )
    return srt(Timings(sample_rate=24_000, duration_s=9, segments=(segment,), chapters=()))


def read(name: str) -> Reading:
    return lambda text: documents.read(
        io.BytesIO(text.encode("utf-8", "replace")), name=name, media_type=None, max_chars=10**6
    )


READERS: dict[str, Reading] = {
    "lines": mark_lines,
    "split": lambda text: split(text, "auto", 240),
    "German": lambda text: split(text, "german", 240),
    "quotations": lambda text: quotations(text, 240),
    "headings": headings,
    "normalise": normalise,
    "plain": read("a.txt"),
    "Markdown": read("a.md"),
    "subtitles": subtitles,
}
UNITS = [
    *["🇦", "\U0001f468\u200d", "🏽", "\u200c", "\u0301", "\u0315\u0327", "\u0958", "\u1100"],
    *["\u0600", "\u0915\u094d", "'a", "\"a", "“a", "“", "‘a’", "„«‹"],
    *["»a«", "(a", "a)", "([", "「", "（『《〈【", "'", "“‘('"],
    *["a", "字", "1", "1,", "1 ", "a ", "a, ", "a."],
    *["a. ", "Dr. ", "z.B. ", "a! ", "字。", "。”", "?!", ". "],
    *["…", "—", "— a", ";)", "、", "a\u3001\u200d", "， ", "1．"],
    *["\x00", "a\x00", "\ud800a ", "\u200b\u0301", "\n", "\r\n", "\n ", "\na"],
    *["a\n\n", "*\n\n", "\t", "\u2028", "Chapter 1\n\n", "\u7b2c1\u7ae0\n\n", "I", "[pause 1ms]"],
    *["[pause ", "[ ", "[pause 1", "a[pause 0s]", "[", "[a](", "`", "> "],
    *["a|b\n", "&#1;", "www.", "http://a. ", "<a ", "<!--", "---\n", "*a_"],
    *["- a\n", "[^1]: a\n"],
]  # fmt: skip


@pytest.mark.parametrize("reader", READERS)
def test_a_reader_takes_linear_time(reader: str) -> None:
    slow = [
        (begun, unit)
        for unit in UNITS
        for begun, ended in (("x", ".x"), ("“x ('", ""))
        if grows(
            READERS[reader],
            repeated(begun, unit, ended),
            32_000 if reader == "quotations" else 8_000,
            SLOW_S if reader == "quotations" else 4 * SLOW_S,
        )
    ]
    assert not slow


@pytest.mark.parametrize(
    "text", ["🇫🇷🇩🇪🇯🇵", "🇫🇷\u0301🇩", "a🇫🇷\u200d🇩🇪b", "\u0600🇫🇷🇩🇪", "👨\u200d👩\u200d👧🇫🇷क्षिe\u0301"]
)
def test_clusters_are_those_of_unicode(text: str) -> None:
    assert regex.findall(CLUSTER, text) == regex.findall(r"\X", text)


@pytest.mark.parametrize("letters", [1, 15, 16, 17, 33])
def test_a_cut_lies_where_it_does_in_the_text_as_it_was_given(letters: int) -> None:
    """A word of accents is skipped some letters at a time."""
    given = "e\u0301" * letters + " a"
    squeezed = collapse_whitespace(given)
    cuts = range(len(squeezed))
    assert map_offsets(given, squeezed, cuts) == [*range(0, 2 * letters + 1, 2), 2 * letters + 1]


def test_a_long_run_of_marks_is_cut_out() -> None:
    text = "He said: “Go!”" + "— " * 5_000 + "“Yes.” Then she left."
    segments = split(text, "english", 60)
    assert [segment.text[:14] for segment in (segments[0], segments[-1])] == [
        "He said: “Go!”",
        segments[-1].text[:14],
    ]
    assert segments[-1].text.endswith("“Yes.” Then she left.")
    assert len(segments) == 2
    assert (segments[0].start, segments[-1].end) == (0, len(text))


def test_cutting_takes_no_more_than_the_squares_of_accents() -> None:
    """Every character that Unicode reorders is one that `normalise` keeps only 128 of in a row."""
    reordered = [chr(n) for n in range(sys.maxunicode + 1) if unicodedata.combining(chr(n))]
    assert regex.fullmatch(r"\p{M}+", "".join(reordered))
