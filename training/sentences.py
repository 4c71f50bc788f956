"""The sentences that the teacher speaks: prose, words by frequency, numbers, quotes, brackets.

Prose gives function words their places and rhythm; drawn words give the spelling of 20,000 words,
most of which no prose of this size contains. A text is one to five sentences of up to
`MAX_CHARACTERS`, since the product's segments are of that length.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from functools import cache
from itertools import accumulate
from pathlib import Path

from wordfreq import get_frequency_dict

MAX_CHARACTERS = 240
MAX_WORD_RANK = 20_000
FUNCTION_WORDS = 150  # the most frequent words; every second drawn word is one of them

PROSE_FOLDER = Path("/usr/share/games/fortunes")  # Debian's package `fortunes`
_PROSE = re.compile(r"[\"“‘(]?[A-Za-z0-9][A-Za-z0-9 ,;:.!?'\"()“”‘’…—%$&-]*[.!?][\"”’)]?")
_WORD = re.compile(r"[a-z]+('[a-z]{1,2})?")
_SHORT_WORDS = frozenset(
    "a i of to in it is be as at so we he by or on do if me my up an go no us".split()  # noqa: SIM905
)
# Of books that a trial may read aloud: no sentence of theirs may have been learned.
_HELD_OUT = re.compile(r"Alice|Rabbit|Wonderland")
_QUOTES = (('"', '"'), ("“", "”"), ("'", "'"), ("‘", "’"), ("(", ")"))


def texts(seed: int) -> Iterator[str]:
    """Endless texts, the same for a seed."""
    rng = random.Random(seed)
    while True:
        text = _sentence(rng)
        more = rng.choices((0, 1, 2, 4), (60, 15, 15, 10))[0]
        for _ in range(more):
            longer = f"{text} {_sentence(rng)}"
            if len(longer) > MAX_CHARACTERS:
                break
            text = longer
        if len(text) <= MAX_CHARACTERS:
            yield text


@cache
def prose() -> list[str]:
    """The sentences of the fortunes that consist of letters, figures and common signs."""
    sentences = set()
    for path in sorted(PROSE_FOLDER.glob("*.u8")):
        for fortune in path.read_text(encoding="utf-8", errors="ignore").split("\n%\n"):
            text = " ".join(fortune.split("\n\t\t--")[0].split())
            for sentence in re.split(r"(?<=[.!?]) ", text):
                if 12 <= len(sentence) <= 200 and _is_prose(sentence):
                    sentences.add(sentence)
    if not sentences:
        raise FileNotFoundError(f"no prose in {PROSE_FOLDER}: run `apt-get install fortunes`")
    return sorted(sentences)


def _is_prose(sentence: str) -> bool:
    words = re.findall(r"[A-Za-z]+", sentence)
    return (
        _PROSE.fullmatch(sentence) is not None
        and _HELD_OUT.search(sentence) is None
        and len(words) > 2
        and not any(len(word) > 3 and word.isupper() for word in words)
        and all(len(digits) < 5 for digits in re.findall(r"\d+", sentence))
    )


@cache
def _words(first: int, last: int, flatness: float) -> tuple[list[str], list[float]]:
    """Words of the ranks `first` to `last` and their summed weights, frequency ** `flatness`."""
    frequency = {
        word: share
        for word, share in get_frequency_dict("en", "small").items()
        if _WORD.fullmatch(word) and (len(word) > 2 or word in _SHORT_WORDS)
    }
    ranked = sorted(frequency, key=lambda word: (-frequency[word], word))[first:last]
    return ranked, list(accumulate(frequency[word] ** flatness for word in ranked))


def _sentence(rng: random.Random) -> str:
    return rng.choice(prose()) if rng.random() < 0.4 else _drawn_sentence(rng)


def _drawn_sentence(rng: random.Random) -> str:
    count = min(18, 1 + int(rng.gammavariate(2.6, 2.3)))
    words = [_decorate(_drawn_word(rng), rng) for _ in range(count)]
    if count > 3 and rng.random() < 0.12:
        start = rng.randrange(count - 1)
        end = rng.randrange(start, count)
        before, after = rng.choice(_QUOTES)
        words[start], words[end] = before + words[start], words[end] + after
    for place in range(count - 1):
        words[place] += rng.choices(("", ",", ";", ":", " -", " —", "…"), (88, 8, 1, 1, 1, 1, 1))[0]
    sentence = " ".join(words)
    return sentence[0].upper() + sentence[1:] + rng.choices(".?!", (8, 1, 1))[0]


def _drawn_word(rng: random.Random) -> str:
    if rng.random() < 0.4:
        words, weights = _words(0, FUNCTION_WORDS, 0.7)
    else:
        words, weights = _words(FUNCTION_WORDS, MAX_WORD_RANK, 0.5)
    word = rng.choices(words, cum_weights=weights)[0]
    return "I" + word[1:] if word == "i" or word.startswith("i'") else word


def _decorate(word: str, rng: random.Random) -> str:
    form = rng.random()
    if form < 0.03:
        return _number(rng)
    if form < 0.06:
        return f"{word}-{_drawn_word(rng).lower()}"
    if form < 0.11:
        return word[0].upper() + word[1:]
    if form < 0.12:
        return word.replace("'", "’")
    return word


def _number(rng: random.Random) -> str:
    whole = rng.choice((rng.randrange(13), rng.randrange(100), rng.randrange(1000)))
    return rng.choice(
        (
            f"{whole}",
            f"{whole}",
            f"{rng.randrange(1500, 2100)}",
            f"{whole}.{rng.randrange(10)}",
            f"{whole}%",
            f"${whole}",
        )
    )
