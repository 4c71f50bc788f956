"""Texts to be judged: 100 English sentences, and segments made of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

# Lists 3 to 12 of the Harvard sentences (IEEE Recommended Practice for Speech Quality
# Measurements, 1969), whose sounds are as frequent as in English speech.
_HARVARD = Path(__file__).with_name("harvard.txt")


def sentences(count: int) -> list[str]:
    """The first `count` of the 100 sentences; about 40 letters each."""
    return _HARVARD.read_text("utf-8").splitlines()[:count]


def segments(sentences: Iterable[str], limit: int) -> Iterator[str]:
    """Whole sentences joined to texts of at most `limit` characters: a service's own segments.

    Example: ["I am.", "You are.", "It is."] with a limit of 14 are "I am. You are." and "It is."
    """
    text = ""
    for sentence in sentences:
        longer = f"{text} {sentence}".lstrip()
        if text and len(longer) > limit:
            yield text
            longer = sentence
        text = longer
    if text:
        yield text
