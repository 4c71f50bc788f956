import unicodedata

import pytest
import sentencex
from hypothesis import given
from hypothesis import strategies as st

from shared.text import WINDOW, frame_bound, normalise, split

WORDS = st.sampled_from(
    ["Hello", "Dr. Smith", "3.50", "yes,", "no.", "它们走了。", "\n\n", "x" * 40]
)
TEXTS = st.lists(WORDS, min_size=1, max_size=60).map(" ".join) | st.text(max_size=400)


def letters(text: str) -> str:
    return "".join(char for char in text if char.isalnum())


def test_sentences_stay_whole_and_short_ones_share_a_segment() -> None:
    text = 'Dr. Smith paid $3.50. "Really?" she asked. He left, as people do.'
    assert split(text, "english", 45) == [
        'Dr. Smith paid $3.50. "Really?" she asked.',
        "He left, as people do.",
    ]


def test_paragraphs_are_never_joined() -> None:
    assert split("One.\n\nTwo.", "auto", 200) == ["One.", "Two."]


def test_what_cannot_be_spoken_is_left_out() -> None:
    assert split("One.\n\n* * *\n\n—", "auto", 200) == ["One."]
    assert split("?!", "auto", 200) == []


def test_a_long_sentence_breaks_at_its_commas() -> None:
    text = "When the sun had set behind the hill, and the lamps were lit, they all went home"
    assert split(text, "english", 45) == [
        "When the sun had set behind the hill,",
        "and the lamps were lit, they all went home",
    ]


def test_chinese_breaks_at_its_own_full_stops() -> None:
    assert split("他走了。她笑了！我们回家，好吗？", "chinese", 6) == [
        "他走了。",
        "她笑了！",
        "我们回家，",
        "好吗？",
    ]


@given(TEXTS, st.integers(20, 60))
def test_nothing_is_lost_added_or_reordered_and_the_limit_holds(text: str, limit: int) -> None:
    normal = normalise(text)
    segments = split(normal, "auto", limit)
    assert letters("".join(segments)) == letters(normal)
    assert all(0 < len(segment) <= limit for segment in segments)
    assert all(segment == segment.strip() for segment in segments)


@pytest.mark.parametrize("sentence", ["他走了。", "He left. ", "word ", "x"])
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
    assert letters("".join(split(long, "auto", 240))) == letters(long)
    assert max(windows) <= WINDOW
    assert sum(windows) < 1.5 * len(long)


def test_sentences_are_the_same_wherever_a_window_ends() -> None:
    sentences = [f"Sentence number {n} is here." for n in range(300)]
    assert split(" ".join(sentences), "english", 30) == sentences


@given(TEXTS)
def test_normalising_twice_changes_nothing(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


def test_normalising_cleans_white_space_and_control_characters() -> None:
    assert normalise("  a \r\n b\t c\x00\u200b \r\n\r\n\r\n d ") == "a b c\n\nd"
    assert normalise("e\u0301") == unicodedata.normalize("NFC", "e\u0301")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("Hi.", (4, 6)), ("a" * 240, (40, 70)), ("字" * 60, (40, 70)), ("a" * 9_999, (163, 164))],
)
def test_the_frame_bound_grows_with_the_text(text: str, seconds: tuple[int, int]) -> None:
    least, most = seconds
    assert least <= frame_bound(text) * 0.08 <= most
