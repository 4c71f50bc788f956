"""Segments joined into one file, one of them in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from shared.formats import Format
from shared.jobs import SAMPLE_RATE, SpokenSegment
from worker.audio.timeline import pause_samples
from worker.audio.wav import Pcm, decode_wav
from worker.audio.writers import Tags, open_writer

# Long enough for no click, too short to be heard.
FADE_SAMPLES = SAMPLE_RATE * 5 // 1_000
NO_TAGS = Tags()


def join(
    segments: Sequence[SpokenSegment],
    read: Callable[[str], bytes],
    path: Path,
    kind: Format = Format.WAV,
    tags: Tags = NO_TAGS,
) -> int:
    """Write segments and the pauses after them into a file; returns its length in samples.

    `read` gives the WAV under a key. Within the file, the edges of segments are faded, since
    speech may be cut off in mid-wave; the file's own edges, and all loudness, stay as they are.
    Raises `Unavailable` if the file cannot be written.
    """
    samples = sum(segment.samples + pause_samples(segment) for segment in segments)
    with open_writer(path, kind, samples, tags) as file:
        for index, segment in enumerate(segments):
            pcm, pause = decode_wav(read(segment.key)), pause_samples(segment)
            assert len(pcm) == segment.samples
            is_last = index == len(segments) - 1 and not pause
            file.write(_faded(pcm, start=index > 0, end=not is_last))
            file.write(np.zeros(pause, np.int16))
    return samples


def _faded(pcm: Pcm, *, start: bool, end: bool) -> Pcm:
    """Raised-cosine fades of at most half a segment each."""
    length = min(FADE_SAMPLES, len(pcm) // 2)
    if not length:
        return pcm
    rise = 0.5 - 0.5 * np.cos(np.pi * (np.arange(length) + 0.5) / length)
    faded = pcm.copy()
    if start:
        faded[:length] = np.rint(faded[:length] * rise)
    if end:
        faded[-length:] = np.rint(faded[-length:] * rise[::-1])
    return faded
