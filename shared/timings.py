"""Which segment is heard when."""

from __future__ import annotations

from shared.jobs import Record


class SegmentTiming(Record):
    """A segment: its text, its characters of the input, and when it is heard."""

    index: int
    text: str
    start: int
    end: int
    start_s: float
    end_s: float
    chapter: int | None
    truncated: bool


class ChapterTiming(Record):
    """A chapter: its title, and when it is heard; a file of it has the number `index` + 1."""

    index: int
    title: str
    start_s: float
    end_s: float


class Timings(Record):
    """All that is heard, in order."""

    sample_rate: int
    duration_s: float
    segments: tuple[SegmentTiming, ...]
    chapters: tuple[ChapterTiming, ...]

    def marks(self, title: str | None) -> tuple[ChapterTiming, ...]:
        """The chapters, after one for what comes before the first: in an MP4 they begin at 0."""
        first = next(iter(self.chapters), None)
        if first is None or first.start_s == 0:
            return self.chapters
        front = ChapterTiming(index=-1, title=title or "…", start_s=0, end_s=first.start_s)
        return (front, *self.chapters)
