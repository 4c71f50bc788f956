from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.text.paragraphs import CHAPTER_PAUSE_S, PARAGRAPH_PAUSE_S, SCENE_PAUSE_S
from api.text.segmentation import CLAUSE_PAUSE_S, SENTENCE_PAUSE_S, split
from shared.document import Chapter
from shared.errors import InvalidRequest


def spoken(text: str, *chapters: int, limit: int = 200) -> list[tuple[str, float]]:
    starts = [Chapter("", start) for start in chapters]
    return [
        (segment.text, segment.pause_s) for segment in split(text, "auto", limit, chapters=starts)
    ]


def test_a_place_has_its_own_pause() -> None:
    text = "Chapter 1\n\nOne two. Three four, five six seven.\n\nChapter 2"
    assert spoken(text, text.index("Chapter 2"), limit=15) == [
        ("Chapter 1", PARAGRAPH_PAUSE_S),
        ("One two.", SENTENCE_PAUSE_S),
        ("Three four,", CLAUSE_PAUSE_S),
        ("five six seven.", CHAPTER_PAUSE_S),
        ("Chapter 2", 0),
    ]
    assert spoken("one two", limit=4) == [("one", 0), ("two", 0)]


@pytest.mark.parametrize("mark", ["* * *", "***", "⁂", "---", "◆", "＊　＊　＊", "#"])
@pytest.mark.parametrize("apart", ["\n\n", "\r\n\r\n"])
def test_a_scene_break_has_a_pause_of_its_own(mark: str, apart: str) -> None:
    assert spoken(f"One.{apart}{mark}{apart}Two.") == [("One.", SCENE_PAUSE_S), ("Two.", 0)]
    assert spoken(f"One.{apart}?!{apart}Two.") == [("One.", PARAGRAPH_PAUSE_S), ("Two.", 0)]


def test_a_chapter_begins_a_segment_even_within_a_paragraph() -> None:
    text = "The end.\nTwo. It was late."
    segments = split(text, "auto", 200, chapters=[Chapter("Two", 9)])
    assert [(segment.text, segment.start) for segment in segments] == [
        ("The end.", 0),
        ("Two. It was late.", 9),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One [pause 1.5s] two.", [("One", 1.5), ("two.", 0)]),
        ("One [PAUSE 500ms] two.", [("One", 0.5), ("two.", 0)]),
        ("One [pause 2] two.", [("One", 2), ("two.", 0)]),
        ("One [pause: 1s] two.", [("One", 1), ("two.", 0)]),
        ("One [pause 0,5 s] two.", [("One", 0.5), ("two.", 0)]),
        # Several in a row add up, with or without something between that is not spoken.
        ("One [pause 1s][pause 500 ms] * [pause 1s] two.", [("One", 2.5), ("two.", 0)]),
        # A longer one takes the place of the natural pause, a shorter one does not shorten it.
        ("One.\n\n[pause 2s]\n\nTwo.", [("One.", 2), ("Two.", 0)]),
        ("One. [pause 10ms]\n\nTwo.", [("One.", PARAGRAPH_PAUSE_S), ("Two.", 0)]),
        ("One. [pause 10ms] Two.", [("One.", SENTENCE_PAUSE_S), ("Two.", 0)]),
        # Before anything is spoken it is dropped, and after the last word it is kept.
        ("[pause 3s]\n\n* * *\n\nOne. [pause 3s]", [("One.", 3)]),
        ("[pause 3s]", []),
        # What is no mark is spoken.
        ("One [pause banana] two.", [("One [pause banana] two.", 0)]),
        ("One [pause -1s] two.", [("One [pause -1s] two.", 0)]),
        ("One [pause] two.", [("One", 1), ("two.", 0)]),
        ("One [pause:1000] two [pause 250].", [("One", 1), ("two", 0.25)]),
        ('One <break time="1s"/> two.', [("One", 1), ("two.", 0)]),
        ("One <break time='250ms' /> two.", [("One", 0.25), ("two.", 0)]),
        ('One <BREAK strength="strong" time="2.5s"></BREAK> two.', [("One", 2.5), ("two.", 0)]),
        ("One <break/> two.", [("One", 0.5), ("two.", 0)]),
        ('One <break strength="x-strong"/> two.', [("One", 1.5), ("two.", 0)]),
        ("One <breakfast> two.", [("One <breakfast> two.", 0)]),
        ("One [pause 1m] two.", [("One [pause 1m] two.", 0)]),
    ],
)
def test_pause_marks(text: str, expected: list[tuple[str, float]]) -> None:
    assert spoken(text) == expected


@pytest.mark.parametrize(
    "marks", ["[pause 61s]", "[pause 60001ms]", "[pause 40s] [pause 40s]", f"[pause {'9' * 999}]"]
)
def test_a_pause_of_more_than_a_minute_is_refused(marks: str) -> None:
    """A text of a few characters must not ask for hours of silence."""
    with pytest.raises(InvalidRequest, match="60 s") as refused:
        split(f"One {marks} two", "auto", 200)
    assert refused.value.param == "input"


@pytest.mark.parametrize("begun", ["[", "[pause", "[pause 1", "[pause 1s", "\n", "a"])
def test_a_mark_that_never_ends_is_read_in_no_time(begun: str) -> None:
    """Going back in the spaces would take hours here."""
    segments = split(f"One {begun}{' ' * 1_000_000}x", "auto", 200)
    assert segments[-1].text.endswith("x")


def test_marks_that_ask_for_days_of_silence_are_refused() -> None:
    assert len(split("One [pause 60s] " * 1_440, "auto", 200)) == 1_440
    with pytest.raises(InvalidRequest, match="in all is 86,400 s"):
        split("One [pause 60s] " * 1_441, "auto", 200)


@given(st.text("a.\n* ", max_size=60), st.lists(st.integers(-5, 80), max_size=6))
def test_chapters_anywhere_leave_the_ranges_whole(text: str, starts: list[int]) -> None:
    segments = split(text, "auto", 9, chapters=[Chapter("", start) for start in starts])
    assert all(one.end == other.start for one, other in pairwise(segments))
    if segments:
        assert (segments[0].start, segments[-1].end) == (0, len(text))
