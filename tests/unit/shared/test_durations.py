import pytest
from unicode_rbnf import RbnfEngine

from shared.durations import LETTERS_PER_DIGIT, extra_letters, frame_bound, wide_chars

CODES = {
    "english": "en",
    "german": "de",
    "french": "fr",
    "spanish": "es",
    "italian": "it",
    "portuguese": "pt",
    "russian": "ru",
    "chinese": "zh",
    "japanese": "ja",
    "korean": "ko",
}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("Hi.", (4, 6)), ("a" * 240, (40, 70)), ("字" * 60, (40, 70)), ("a" * 9_999, (163, 164))],
)
def test_the_frame_bound_grows_with_the_text(text: str, seconds: tuple[int, int]) -> None:
    least, most = seconds
    assert least <= frame_bound(text) * 0.08 <= most


ROW = "Revenue, 1,234,567,890, 2,345,678,901, 3,456,789,012, 4,567,890,123"


@pytest.mark.parametrize(
    ("text", "language", "usual_s"),
    [
        (ROW, "english", 26),  # four numbers of about 95 letters, at 15 letters a second
        (ROW, "auto", 26),
        ("第1季度的收入为1,234,567,890元。", "chinese", 8),
        ("It cost $99.99, 45% off, for 250 km/h.", "english", 8),
        ("77 777 777 км за 99 %", "russian", 7),
    ],
)
def test_numbers_symbols_and_units_have_the_time_of_their_words(
    text: str, language: str, usual_s: int
) -> None:
    bound_s = frame_bound(text, language) * 0.08
    assert 2 * usual_s < bound_s
    assert bound_s < 164


@pytest.mark.parametrize("text", ["The lamp was lit.", "他点亮了灯。", "Stop it! he said (twice)…"])
def test_words_alone_have_no_extra_letters(text: str) -> None:
    assert extra_letters(text, "english") == 0


def test_a_row_of_one_symbol_is_spoken_once() -> None:
    assert extra_letters("=" * 200, "english") == extra_letters("=", "english")


@pytest.mark.parametrize("language", LETTERS_PER_DIGIT)
def test_the_letters_of_a_digit_are_those_of_the_longest_words(language: str) -> None:
    engine = RbnfEngine.for_language(CODES[language])
    letters = LETTERS_PER_DIGIT[language]
    for digits in range(1, 13):
        for digit in range(1, 10):
            words = engine.format_number(int(str(digit) * digits)).text
            spoken = len(words) + 3 * wide_chars(words)  # an ideograph takes as long as 4 letters
            assert spoken <= letters * digits, words
