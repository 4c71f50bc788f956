import textwrap
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.documents import prepare
from api.text.lines import mark_lines
from api.text.normalise import normalise
from api.text.segmentation import split

PROSE = (
    "It was a dark night, and nobody slept in the old house by the river. The lamp was lit, and"
    " Mary came down the stairs with a book; nobody had thought that she would come so soon, least"
    " of all John. “So you are here,” said he."
)
MORE = "“Yes,” she said. " + PROSE


def paragraphs(text: str) -> list[str]:
    marked, _, _ = mark_lines(text)
    assert len(marked) == len(text)
    return normalise(marked).split("\n\n")


@pytest.mark.parametrize("width", [45, 60, 72, 100])
@pytest.mark.parametrize("indent", ["", "  ", "      "])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_wrapped_prose_is_joined(width: int, indent: str, end: str) -> None:
    lines = textwrap.wrap(PROSE, width)
    assert paragraphs(end.join(indent + line for line in lines)) == [PROSE]


@pytest.mark.parametrize("apart", ["\n\n", "\n  ", "\n\t"])
def test_wrapped_paragraphs_are_told_apart(apart: str) -> None:
    wrapped = [textwrap.fill(text, 66) for text in (PROSE, MORE, PROSE)]
    assert paragraphs(apart.join(wrapped)) == [PROSE, MORE, PROSE]


def test_a_short_line_ends_a_paragraph_of_wrapped_prose() -> None:
    short = PROSE + " Yes."
    wrapped = [textwrap.fill(text, 70) for text in (short, MORE)]
    assert len(wrapped[0].split("\n")[-1]) < 50
    assert paragraphs("\n".join(wrapped)) == [short, MORE]


@pytest.mark.parametrize(
    "lines",
    [
        ["There are four fruits that we want:", "Apple", "Banana", "Orange", "Blueberry"],
        ["“Hello,” she said.", "“Bye,” said he.", "“What?”"],
        ["— Да? — спросил он.", "— Нет.", "— Почему?"],
        ["「はい。」", "「いいえ、まだです。」", "彼は去った。"],
        ["The sun went down", "The moon came up", "I drank the dark", "Out of a cup"],
        ["apples", "pears", "plums"],
        ["- one and two", "- three", "* four"],
        ["1. Boil it.", "2. Eat it.", "10) Sleep."],
        [PROSE, "She left.", MORE, PROSE],
        ["清晨，山里下着小雨。", "老人推开门，看见一个陌生人。", "谁也没有说话。"],
        ["Hello there.", "How are you?"],
        ["Dear Sir", "I write to you because the lamp is out again and nobody comes to mend it."],
    ],
)
def test_other_lines_are_paragraphs(lines: list[str]) -> None:
    assert paragraphs("\n".join(lines)) == lines
    assert paragraphs(PROSE + "\n\n" + "\r\n".join(lines)) == [PROSE, *lines]


def test_lines_of_verse_within_wrapped_prose_are_lines() -> None:
    verse = ["The sun went down,", "The moon came up,", "I drank the dark", "Out of a cup."]
    text = "\n\n".join((textwrap.fill(PROSE, 66), "\n".join(verse), textwrap.fill(MORE, 66)))
    assert paragraphs(text) == [PROSE, *verse, MORE]


def test_ideographic_indentation_begins_a_paragraph() -> None:
    text = "第1章 来客\n　　清晨，山里下着小雨。\n　　老人推开门。\n\n第2章 夜谈\n　　夜里。"
    document = prepare(text)
    assert [chapter.title for chapter in document.chapters] == ["第1章 来客", "第2章 夜谈"]
    assert [text[chapter.start] for chapter in document.chapters] == ["第", "第"]
    assert paragraphs(text)[1:3] == ["清晨，山里下着小雨。", "老人推开门。"]


def test_wrapped_ideographs_are_joined_without_a_space() -> None:
    prose = "清晨，山里下着小雨，老人推开门看见一个陌生人站在雨里没有说话，只是看着远方的山和路。"
    assert paragraphs("\n".join(textwrap.wrap(prose, 15))) == [prose]


@pytest.mark.parametrize(
    ("text", "joined"),
    [
        ("we see nega-\ntive, and a well-\nknown man", "we see negative, and a well-known man"),
        ("the Ge-\r\n   sellschaft. Die Gesellschaft", "the Gesellschaft. Die Gesellschaft"),
        ("a mer-cat and the mer-\ncat left.", "a mer-cat and the mer-cat left."),
        ("twenty-\none days", "twenty-one days"),
        ("the so\u00adcalled re\u00ad\nmark", "the socalled remark"),
        ("in 1905-\n1910 it", "in 1905-1910 it"),
        ("Mr Smith-\nJones", "Mr Smith-Jones"),
        ("the X-\nrays and e-\nmail", "the X-rays and e-mail"),
        ("of pre-\nand post-war", "of pre- and post-war"),
        ("der Haupt-\nund Nebensatz", "der Haupt- und Nebensatz"),
    ],
)  # fmt: skip
def test_words_are_joined_over_the_end_of_a_line(text: str, joined: str) -> None:
    assert normalise(mark_lines(text + ".")[0]) == joined + "."


@pytest.mark.parametrize("text", ["", "\n", "One.", "One.\n\nTwo.", "CHAPTER I.\nDown the Hole"])
def test_nothing_is_marked_without_need(text: str) -> None:
    assert mark_lines(text) == (text, 0, 0)


def test_what_was_guessed_is_told() -> None:
    told = prepare("Apple\nBanana\nOrange").warnings
    assert [(each.code, each.message[-3:]) for each in told] == [("lines_are_paragraphs", ": 2")]
    told = prepare("Any nega-\ntive thing.").warnings
    assert [each.code for each in told] == ["words_joined"]


@given(st.text("aB.-, \n\r　字“", max_size=80), st.integers(5, 40))
def test_ranges_hold_and_no_letter_is_lost(text: str, limit: int) -> None:
    document = prepare(text)
    assert len(document.text) == len(text)
    segments = split(document.text, "auto", limit)
    assert all(one.end == other.start for one, other in pairwise(segments))
    spoken = "".join("".join(segment.text.split()) for segment in segments)
    assert [c for c in spoken if c.isalnum()] == [c for c in text if c.isalnum()]
