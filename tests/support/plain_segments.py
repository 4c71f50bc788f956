"""Segments of nothing but a text, and the id of the job they are admitted as."""

from __future__ import annotations

from collections.abc import Iterable

from shared.document import Segment
from shared.jobs import Job


def plain(texts: Iterable[str]) -> list[Segment]:
    """One segment for each text, as if they followed one another in the input."""
    segments, start = [], 0
    for text in texts:
        segments.append(Segment(text, start, start + len(text)))
        start += len(text)
    return segments


def id_of(admitted: Job | str) -> str:
    """The id of a job that was admitted, be it now or from the same request before."""
    return admitted if isinstance(admitted, str) else admitted.id
