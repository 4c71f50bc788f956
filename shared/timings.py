"""Timings: the start and end of each segment and chapter in the joined audio."""

from __future__ import annotations

from shared.records import Record


class SegmentTiming(Record):
    """A segment: its text, its characters of the input, and its start and end in the audio."""

    index: int
    text: str
    start: int
    end: int
    start_s: float
    end_s: float
    chapter: int | None
    truncated: bool


class ChapterTiming(Record):
    """A chapter: its title, its start and end in the audio; its file has the number `index` + 1."""

    index: int
    title: str
    start_s: float
    end_s: float


class Timings(Record):
    """The content of timings.json, in the order of the audio."""

    sample_rate: int
    duration_s: float
    segments: tuple[SegmentTiming, ...]
    chapters: tuple[ChapterTiming, ...]

    def marks(self, title: str | None) -> tuple[ChapterTiming, ...]:
        """The chapters, with an entry for the front matter if there is any: an MP4's begin at 0."""
        first = next(iter(self.chapters), None)
        if first is None or first.start_s == 0:
            return self.chapters
        front = ChapterTiming(index=-1, title=title or "…", start_s=0, end_s=first.start_s)
        return (front, *self.chapters)
