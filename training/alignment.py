"""The letter that each phone of a spoken text belongs to, by dynamic programming.

Example: "Rough." as r, ah, f, pau gives the indices 0, 2, 3 (the g), 5 (the full stop).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Costs = NDArray[np.float64]

# Letters that often spell a phone (the names are flite's).
_SPELLINGS = {
    "aa": "aoh", "ae": "a", "ah": "uoae", "ao": "oaug", "aw": "ou", "ax": "aeiou",
    "ay": "iyeg", "b": "b", "ch": "ct", "d": "de", "dh": "t", "eh": "ea", "er": "reiou",
    "ey": "aeig", "f": "fpg", "g": "gx", "hh": "hw", "ih": "iey", "iy": "eiy", "jh": "gjd",
    "k": "ckqx", "l": "l", "m": "m", "n": "nk", "ng": "n", "ow": "ow", "oy": "o", "p": "p",
    "r": "rw", "s": "scxz", "sh": "stc", "t": "td", "th": "t", "uh": "ou", "uw": "uoew",
    "v": "vf", "w": "wuo", "y": "yui", "z": "zsx", "zh": "szg",
}  # fmt: skip
_FITS, _DIGIT, _OTHER_LETTER, _NO_LETTER = 0.0, 0.6, 1.2, 2.5
_PAUSE_IN_WORD = 3.0
# A second phone for a letter ("x" is k, s), and a pause that shares its sign with another.
_STAY, _STAY_PAUSE = 0.7, 1.2
_OFTEN_SILENT = "eaiouhgw"
_SKIP_SILENT, _SKIP_LETTER = 0.25, 0.5


def align(text: str, phones: list[str]) -> list[int]:
    """The index into `text` of each phone's character; the indices never fall."""
    skipped = np.concatenate([[0.0], np.cumsum([_skip(sign) for sign in text.lower()])])
    costs = {phone: _match(text.lower(), phone) for phone in set(phones)}
    total = costs[phones[0]] + skipped[:-1]
    sources = []
    for phone in phones[1:]:
        moved, source = _best_move(total, skipped)
        stay = total + (_STAY_PAUSE if phone == "pau" else _STAY)
        sources.append(np.where(stay < moved, np.arange(len(text)), source))
        total = np.minimum(stay, moved) + costs[phone]
    place = int(np.argmin(total + skipped[-1] - skipped[1:]))
    places = [place]
    for source in reversed(sources):
        place = int(source[place])
        places.append(place)
    return places[::-1]


def _best_move(total: Costs, skipped: Costs) -> tuple[Costs, NDArray[np.int64]]:
    """The least cost of coming to each character from an earlier one, and from which."""
    left = total - skipped[1:]
    least = np.minimum.accumulate(left)
    source = np.maximum.accumulate(np.where(left <= least, np.arange(len(total)), 0))
    moved = np.full(len(total), np.inf)
    moved[1:] = least[:-1] + skipped[1:-1]
    return moved, np.concatenate([[0], source[:-1]])


def _skip(sign: str) -> float:
    if not sign.isalnum():
        return 0.0
    return _SKIP_SILENT if sign in _OFTEN_SILENT else _SKIP_LETTER


def _match(text: str, phone: str) -> Costs:
    if phone == "pau":
        return np.array([_PAUSE_IN_WORD if sign.isalnum() else _FITS for sign in text])
    letters = _SPELLINGS.get(phone, "")
    return np.array(
        [
            _FITS
            if sign in letters
            else _DIGIT
            if sign.isdigit()
            else _OTHER_LETTER
            if sign.isalpha()
            else _NO_LETTER
            for sign in text
        ]
    )
