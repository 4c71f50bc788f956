"""The analysis of the teacher's recordings: phones stretched to whole units, and their sound."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyworld
from numpy.typing import NDArray

from training.alignment import align
from training.teacher import Recording
from training.units import (
    BAND_POINTS,
    BANDS,
    BINS,
    COLUMNS,
    FFT_SIZE,
    PHONES,
    SAMPLE_RATE,
    UNIT_S,
    UNITS_PER_FRAME,
    Floats,
    Speech,
)

_LEAD_UNITS, _TAIL_UNITS, _SENTENCE_PAUSE_UNITS = 2, 4, 6
_PERIOD_MS = 5.0  # of the analysis: two of its columns make one of a unit's
_FLOOR = -16.0  # of log power: quieter is silence
_MAX_CARRY = 0.6  # of a unit: how far a phone may be moved for the phones before it


@dataclass(frozen=True)
class _Span:
    """The stretch of a recording, in seconds, that becomes `units` units."""

    phone: str
    letter: int
    start: float
    end: float
    units: int


def analyse(text: str, recording: Recording) -> Speech:
    """The speech of a recording of `text`; raises `ValueError` if no sound of it is voiced."""
    samples = recording.samples
    raw, times = pyworld.dio(
        samples, SAMPLE_RATE, f0_floor=60, f0_ceil=350, frame_period=_PERIOD_MS
    )
    pitch = pyworld.stonemask(samples, raw, times, SAMPLE_RATE)
    voiced = np.flatnonzero(pitch)
    if not len(voiced):
        raise ValueError(f"nothing voiced in {text!r}")
    power = pyworld.cheaptrick(samples, pitch, times, SAMPLE_RATE, fft_size=FFT_SIZE)
    envelope = np.log(np.maximum(power @ _BAND_WEIGHTS.T, np.exp(_FLOOR)))
    contour = np.interp(np.arange(len(pitch)), voiced, pitch[voiced])

    spans = _spans(text, recording)
    places = np.concatenate([_places(span) for span in spans]).clip(0, len(pitch) - 1)
    counts = [span.units for span in spans]
    columns = 2 * COLUMNS  # of the analysis, in a unit
    unit_pitch = np.interp(places, np.arange(len(contour)), contour).reshape(-1, columns).mean(1)
    return Speech(
        envelope=_pairs(_between(envelope, places)).reshape(-1, COLUMNS, BANDS),
        voiced=_pairs(pitch[places.round().astype(int), None] > 0).reshape(-1, COLUMNS),
        pitch=unit_pitch.astype(np.float32),
        phones=np.repeat([_phone_number(span.phone) for span in spans], counts),
        letters=np.repeat([span.letter for span in spans], counts),
    )


def _spans(text: str, recording: Recording) -> list[_Span]:
    """Each phone's stretch and units; what rounding takes from a phone it gives to the next."""
    letters = align(text, recording.phones)
    edges = list(pairwise([0.0, *recording.ends]))
    spans: list[_Span] = []
    carry = 0.0
    for phone, letter, (start, end) in zip(recording.phones, letters, edges, strict=True):
        exact = (end - start) / UNIT_S + carry
        units = max(1, round(exact))
        carry = min(max(exact - units, -_MAX_CARRY), _MAX_CARRY)
        if phone == "pau" and spans and text[letter] in ".?!…":
            units = max(units, _SENTENCE_PAUSE_UNITS)
        spans.append(_Span(phone, letter, start, end, units))
    first, last = spans[0], spans[-1]
    if first.phone == "pau":
        start = max(first.start, first.end - _LEAD_UNITS * UNIT_S)
        spans[0] = _Span("pau", first.letter, start, first.end, _LEAD_UNITS)
    odd = (sum(span.units for span in spans[:-1]) + _TAIL_UNITS) % UNITS_PER_FRAME
    end = min(last.end, last.start + _TAIL_UNITS * UNIT_S)
    spans[-1] = _Span(last.phone, last.letter, last.start, end, _TAIL_UNITS + odd)
    return spans


def _places(span: _Span) -> Floats:
    """The analysis's columns, as fractions, that the span's new columns of 5 ms show."""
    count = 2 * COLUMNS * span.units
    share = (np.arange(count) + 0.5) / count
    return (span.start + (span.end - span.start) * share) * 1_000 / _PERIOD_MS


def _between(table: Floats, places: Floats) -> Floats:
    """Rows of `table` at fractional places."""
    left = np.floor(places).astype(int)
    right = np.minimum(left + 1, len(table) - 1)
    share = (places - left)[:, None]
    return table[left] * (1 - share) + table[right] * share


def _pairs(columns: NDArray[np.generic]) -> Floats:
    """The mean of each two columns: 5 ms become 10."""
    return columns.reshape(len(columns) // 2, 2, -1).mean(1).astype(np.float32)


def _phone_number(phone: str) -> int:
    return PHONES.index(phone) if phone in PHONES else 0


def _band_weights() -> Floats:
    """Triangles [BANDS, BINS] from each point's left neighbour to its right one, of sum 1."""
    bins = np.arange(BINS)
    points = np.concatenate([[-1.0], BAND_POINTS, [float(BINS)]])
    left, middle, right = points[:-2, None], points[1:-1, None], points[2:, None]
    rise, fall = (bins - left) / (middle - left), (right - bins) / (right - middle)
    weights = np.minimum(rise, fall).clip(0)
    weights[np.arange(BANDS), BAND_POINTS.round().astype(int)] += 1e-6
    return weights / weights.sum(1, keepdims=True)


_BAND_WEIGHTS = _band_weights()
