"""When each segment and chapter of a job is heard."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from shared.audio.fades import pause_samples
from shared.jobs import SAMPLE_RATE, Outline, SpokenSegment
from shared.timings import ChapterTiming, SegmentTiming, Timings


def timeline(segments: Sequence[SpokenSegment], outline: Outline) -> Timings:
    """The times at which `join` puts the segments; a chapter lasts until the next one begins."""
    starts = [first for _, first in outline.chapters]
    timed, at = [], 0
    for index, segment in enumerate(segments):
        chapter = bisect_right(starts, index) - 1
        timed.append(
            SegmentTiming(
                index=index,
                text=segment.text,
                start=segment.start,
                end=segment.end,
                start_s=_seconds(at),
                end_s=_seconds(at + segment.samples),
                chapter=chapter if chapter >= 0 else None,
                truncated=segment.truncated,
            )
        )
        at += segment.samples + pause_samples(segment.pause_s)
    duration_s = _seconds(at)
    return Timings(
        sample_rate=SAMPLE_RATE,
        duration_s=duration_s,
        segments=tuple(timed),
        chapters=_chapters(outline, timed, duration_s),
    )


def _chapters(
    outline: Outline, timed: Sequence[SegmentTiming], duration_s: float
) -> tuple[ChapterTiming, ...]:
    begins = [timed[first].start_s for _, first in outline.chapters]
    ends = [*begins, duration_s][1:]
    return tuple(
        ChapterTiming(index=index, title=title, start_s=start_s, end_s=end_s)
        for index, ((title, _), start_s, end_s) in enumerate(
            zip(outline.chapters, begins, ends, strict=True)
        )
    )


def _seconds(samples: int) -> float:
    return round(samples / SAMPLE_RATE, 6)
