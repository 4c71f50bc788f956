import unicodedata
from itertools import pairwise

import pytest
import regex
import sentencex
from hypothesis import example, given
from hypothesis import strategies as st

from api.text import sentences
from api.text.normalise import normalise
from api.text.segmentation import split

WORDS = [
    "Hello",
    "Dr. Smith",
    "3.50",
    "1 000",
    "yes,",
    "no.",
    "Иван. ",
    "它们走了。",
    "שלום",
    "x" * 40,
]
MARKS = [
    "“Go!",
    "he.”",
    "(a",
    "b)",
    "「はい",
    "」と",
    "* * *",
    "[pause 1s]",
    "[pause x]",
    "\n\n",
    "\r\n",
]
ODD = [
    "\t ",
    "\x00",
    "\u200b",
    "\ud800",
    "e\u0301",
    "\u0301",
    "\u0958",
    "क्षि",
    "👨‍👩‍👧",
    "🇫🇷",
    "字" * 30,
]
PIECES = st.sampled_from(WORDS) | st.sampled_from(MARKS) | st.sampled_from(ODD)
TEXTS = st.lists(PIECES, max_size=60).map(" ".join) | st.lists(PIECES, max_size=40).map("".join)
ANYTHING = TEXTS | st.text(max_size=300) | st.text(st.characters(), max_size=300)
LIMITS = st.integers(1, 60)
LANGUAGES = st.sampled_from(["auto", "german", "chinese", "japanese"])


def texts(text: str, limit: int, language: str = "auto") -> list[str]:
    return [segment.text for segment in split(text, language, limit)]


def letters(text: str) -> str:
    unmarked = regex.sub(r"\[\s*pause\s*:?\s*\d+s\s*\]", " ", text)
    return "".join(char for char in unmarked if char.isalnum())


@given(ANYTHING, LANGUAGES, LIMITS)
def test_the_ranges_are_the_whole_text_in_order(text: str, language: str, limit: int) -> None:
    segments = split(text, language, limit)
    if segments:
        assert (segments[0].start, segments[-1].end) == (0, len(text))
    assert all(one.end == other.start for one, other in pairwise(segments))
    assert all(segment.start <= segment.end for segment in segments)


@given(ANYTHING, LANGUAGES, LIMITS)
def test_nothing_is_lost_added_or_reordered_and_the_limit_holds(
    text: str, language: str, limit: int
) -> None:
    spoken = texts(text, limit, language)
    assert letters("".join(spoken)) == letters(normalise(text))
    assert all(0 < len(segment) <= limit for segment in spoken)
    assert all(segment == normalise(segment) for segment in spoken)


@given(TEXTS, st.integers(20, 60))
def test_what_is_spoken_lies_in_its_range(text: str, limit: int) -> None:
    for segment in split(text, "auto", limit):
        assert letters(normalise(text[segment.start : segment.end])) == letters(segment.text)


@given(ANYTHING, LANGUAGES, LIMITS)
def test_splitting_is_repeatable(text: str, language: str, limit: int) -> None:
    assert split(text, language, limit) == split(text, language, limit)


@given(st.lists(PIECES, max_size=40).map("".join), st.integers(40, 60))
@example("x" * 40 + "\r\n\u0301Hello", 40)
def test_no_cluster_that_fits_is_cut(text: str, limit: int) -> None:
    """Half an emoji, or a letter without its accent, is not what was written."""
    for paragraph in normalise(text.replace("[pause 1s]", "")).split("\n\n"):
        rest = paragraph
        # An accent after a space forms a cluster with it, but white space may be cut anywhere.
        bounds = {match.start() for match in regex.finditer(r"\s|\X", paragraph)}
        for segment in texts(paragraph, limit):
            at = paragraph.index(segment, len(paragraph) - len(rest))
            assert at in bounds
            rest = paragraph[at + len(segment) :]


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        # Short forms, initials and ordinals end no sentence.
        (
            'Dr. Smith paid $3.50. "Really?" she asked. He left, as people do.',
            45,
            ['Dr. Smith paid $3.50. "Really?" she asked.', "He left, as people do."],
        ),
        ("Il vit M. Dupont. Il partit.", 20, ["Il vit M. Dupont.", "Il partit."]),
        ("Это т. е. Иван. Он ушёл.", 16, ["Это т. е. Иван.", "Он ушёл."]),
        ("By J. R. Smith. He left.", 16, ["By J. R. Smith.", "He left."]),
        # A quotation that fits is not cut, and keeps its closing mark.
        ("He said: ‘Go. Now.’ Then he left.", 20, ["He said: ‘Go. Now.’", "Then he left."]),
        ("“Yes! No!” said he. She left.", 20, ["“Yes! No!” said he.", "She left."]),
        ("« Où ? » Puis il partit. Oui.", 17, ["« Où ? »", "Puis il partit.", "Oui."]),
        (
            "「行け。早く！」と彼は言った。去った。",
            15,
            ["「行け。早く！」と彼は言った。", "去った。"],
        ),
        ("他走了。”她笑了。）我们回家。", 5, ["他走了。”", "她笑了。）", "我们回家。"]),
        # A longer one is cut at its sentences, not in the middle of one.
        (
            "“One two three. Four five six. Seven.”",
            17,
            ["“One two three.", "Four five six.", "Seven.”"],
        ),
        # An unclosed one as well: English opens a quotation anew with each of its paragraphs.
        ("He rose. “One two. Three four.", 9, ["He rose.", "“One two.", "Three", "four."]),
        # Chinese has full stops of its own, and ASCII ones without spaces.
        ("他走了。她笑了！我们回家，好吗？", 6, ["他走了。", "她笑了！", "我们回家，", "好吗？"]),
        ("你好!你好吗?我很好。", 4, ["你好!", "你好吗?", "我很好。"]),
        # A long sentence breaks at its commas, else before a conjunction, else at a space.
        (
            "When the sun had set behind the hill, and the lamps were lit, they all went home",
            45,
            ["When the sun had set behind the hill,", "and the lamps were lit, they all went home"],
        ),
        ("the lamps were lit and they went home", 30, ["the lamps were lit", "and they went home"]),
        # In pieces of about the same length: not 20 characters, and then 3.
        ("one two three four six", 20, ["one two", "three four six"]),
        # Numbers, times and short forms stay whole, wherever the limit is.
        ("it cost us 1 000 000 at 10:30", 20, ["it cost us", "1 000 000 at 10:30"]),
        ("abc 1,000,000", 10, ["abc", "1,000,000"]),
        ("一二三四１，０００五六七八", 8, ["一二三四", "１，０００", "五六七八"]),
        # A cluster is whole while it fits, and cut where it does not.
        ("a👨‍👩‍👧👨‍👩‍👧b", 6, ["a👨‍👩‍👧", "👨‍👩‍👧b"]),
        ("क्षिक्षि", 5, ["क्षि", "क्षि"]),
        # Paragraphs are never joined, and the lines of one are.
        ("One.\n\nTwo.", 200, ["One.", "Two."]),
        ("One\r\nline.\r\n \r\nTwo.", 200, ["One line.", "Two."]),
        # What cannot be spoken is left out.
        ("One.\n\n* * *\n\n—", 200, ["One."]),
        ("?!", 200, []),
        ("", 200, []),
    ],
)
def test_splitting(text: str, limit: int, expected: list[str]) -> None:
    assert texts(text, limit) == expected


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("german", "Der 1. Mai kam. Er ging.", ["Der 1. Mai kam.", "Er ging."]),
        ("english", "They were 9. She left.", ["They were 9.", "She left."]),
        ("german", "Das war 1920. Er ging fort.", ["Das war 1920.", "Er ging fort."]),
        ("german", "»Ja. Nein.« Dann nichts.", ["»Ja. Nein.«", "Dann nichts."]),
    ],
)
def test_a_language_has_its_own_rules(language: str, text: str, expected: list[str]) -> None:
    assert texts(text, 16, language) == expected


HOSTILE = [
    *[
        "a" + "\u0301" * 10_000,
        "\u0958" * 999,
        "\u1100\u1161\u11a8" * 999,
        "a\x00" * 999,
        "אב " * 99,
    ],
    *["\ud800a" * 99, "👨‍👩‍👧a" * 99, "“" * 500 + "a", "a" + ")" * 500, "a\u200d" * 500],
]


@pytest.mark.parametrize(
    "text",
    HOSTILE,
    ids=ascii,
)
def test_no_text_breaks_the_limit(text: str) -> None:
    segments = split(text, "auto", 50)
    assert segments
    assert all(0 < len(segment.text) <= 50 for segment in segments)


@pytest.mark.parametrize("sentence", ["他走了。", "他走了. ", "He left. ", "word ", "x"])
def test_a_long_paragraph_is_read_about_once_in_short_windows(
    sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """sentencex takes quadratic time: 200,000 characters of Chinese at once are 35 s."""
    windows: list[int] = []
    segment = sentencex.segment

    def spy(code: str, text: str) -> list[str]:
        windows.append(len(text))
        return list(segment(code, text))

    monkeypatch.setattr(sentencex, "segment", spy)
    long = sentence * (100_000 // len(sentence))
    assert letters("".join(texts(long, 240))) == letters(long)
    assert max(windows, default=0) <= sentences.WINDOW_CHARS
    assert sum(windows) < 1.5 * len(long)


def test_sentences_are_the_same_wherever_a_window_ends() -> None:
    expected = [f"Sentence number {n} is here." for n in range(300)]
    assert texts(" ".join(expected), 30, "english") == expected


@given(ANYTHING)
def test_normalising_twice_changes_nothing(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


def test_normalising_cleans_white_space_and_control_characters() -> None:
    assert normalise("  a \r\n b\t c\x00\u200b \r\n\r\n\r\n d ") == "a b c\n\nd"
    assert normalise("soft\u00adhyphen\x0cpage\ud800") == "softhyphen page"
    assert normalise("e\u200b\u0301") == unicodedata.normalize("NFC", "e\u0301")


def test_a_row_of_numbers_is_cut_where_it_takes_long_to_speak() -> None:
    row = ", ".join(f"{n:,}" for n in range(10**9, 10**9 + 16))  # 238 characters
    segments = split(row, "english", 240)
    assert [segment.text for segment in segments] == texts(row, 240, "english")
    assert len(segments) == 6
    assert all(25 < len(segment.text) < 57 for segment in segments)
    assert " ".join(segment.text for segment in segments) == row


@pytest.mark.parametrize("text", ["It was 1905, and 240 men came.", "x" * 240, "1,234,567,890"])
def test_a_text_with_few_numbers_is_one_segment(text: str) -> None:
    assert texts(text, 240, "english") == [text]


@pytest.mark.parametrize("short", ["approx. 40", "vol. 2", "Fig. 3", "Abb. 4"])
def test_an_abbreviation_before_a_number_ends_no_sentence(short: str) -> None:
    text = f"It says {short} of them came. So they did."
    assert [segment.text for segment in split(text, "auto", 40)] == [
        f"It says {short} of them came.",
        "So they did.",
    ]
