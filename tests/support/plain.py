"""Segments of nothing but a text."""

from __future__ import annotations

from collections.abc import Iterable

from shared.document import Segment


def plain(texts: Iterable[str]) -> list[Segment]:
    """One segment for each text, as if they followed one another in the input."""
    segments, start = [], 0
    for text in texts:
        segments.append(Segment(text, start, start + len(text)))
        start += len(text)
    return segments
