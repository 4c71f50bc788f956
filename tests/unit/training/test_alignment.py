"""Each phone of a spoken text belongs to one of its letters."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.alignment import align

PHONES = ["pau", "r", "ah", "f", "k", "s", "aa", "t", "iy"]


@pytest.mark.parametrize(
    ("text", "phones", "letters"),
    [
        ("Rough.", ["r", "ah", "f", "pau"], "Rug."),
        ("A box.", ["ax", "b", "aa", "k", "s", "pau"], "Aboxx."),
        ("Knee, me.", ["n", "iy", "pau", "m", "iy", "pau"], "ne me."),
    ],
)
def test_phones_find_their_letters(text: str, phones: list[str], letters: str) -> None:
    found = [text[place] for place in align(text, phones)]
    # A pause is at the comma or the space after it, a long vowel at any of its letters.
    assert ["," if sign == " " else sign for sign in found] == list(letters.replace(" ", ","))


@given(text=st.text("abcx 1,.", min_size=1), phones=st.lists(st.sampled_from(PHONES), min_size=1))
def test_the_letters_never_go_back(text: str, phones: list[str]) -> None:
    places = align(text, phones)
    assert len(places) == len(phones)
    assert all(0 <= place < len(text) for place in places)
    assert all(left <= right for left, right in pairwise(places))
