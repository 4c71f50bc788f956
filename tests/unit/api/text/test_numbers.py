"""Numbers written out as words."""

from __future__ import annotations

import pytest

from api.text.numbers import LANGUAGES, write_numbers


@pytest.mark.parametrize(
    ("language", "text", "words"),
    [
        ("english", "In 1905 it cost $2.50.", "In nineteen oh-five it cost two dollars fifty."),
        ("English", "the 21st of 3.14", "the twenty-first of three point one four"),
        ("english", "-5 or 5% of $5 million", "minus five or five percent of five million dollars"),
        ("english", "1,234 men", "one thousand two hundred thirty-four men"),
        ("german", "1.234 für 5,50 €", "eintausendzweihundertvierunddreißig für fünf Euro fünfzig"),
        ("german", "Am 1. Mai, 5 %.", "Am 1. Mai, fünf Prozent."),
        ("french", "le 1er, 1 200 pages", "le premier, mille deux cents pages"),
        ("spanish", "el 3º, 5,5 %", "el tercero, cinco coma cinco por ciento"),
        ("italian", "1ª di 3 €", "prima di tre euro"),
        ("portuguese", "3 £", "três libras"),
        (
            "russian",
            "21 $, 22 $ и 5 %",
            "двадцать один доллар, двадцать два доллара и пять процентов",
        ),
        ("chinese", "2019年增长5%，共3.14万", "二零一九年增长百分之五，共三点一四万"),
        ("japanese", "3人が¥1,200", "三人が千二百円"),
        ("korean", "3명, 5%", "삼명, 오퍼센트"),
        ("auto", "Он пришёл 3 раза.", "Он пришёл три раза."),
        ("auto", "Only 3 came.", "Only three came."),
    ],
)
def test_numbers_are_written_out_in_the_language(language: str, text: str, words: str) -> None:
    assert write_numbers(text, language) == words


@pytest.mark.parametrize(
    "text",
    [
        *("at 10:30", "2019-05-01", "1/2", "version 1.2.3", "007", "5km", "the 1990s", "the '90s"),
        *("3-4 of them", "3–4", "MP3 and A4", "+49 170", "10.0.0.1", "x_3", "1234567890123", "m²"),
    ],
)
def test_figures_that_are_no_plain_numbers_stay(text: str) -> None:
    assert write_numbers(text, "english") == text.replace("170", "one hundred seventy")


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_every_language_has_words_for_every_number(language: str) -> None:
    for number in (0, 7, 10, 21, 101, 1_905, 77_777, 10**6, 10**12 - 1):
        assert not any(map(str.isdecimal, write_numbers(f"{number}", language)))
