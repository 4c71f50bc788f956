"""Segments joined into one file, one of them in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from shared.audio.fades import fade_edges, pause_samples
from shared.audio.wav import decode_wav
from shared.audio.writers import Tags, open_writer
from shared.formats import Format
from shared.jobs import SpokenSegment

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
    samples = sum(segment.samples + pause_samples(segment.pause_s) for segment in segments)
    with open_writer(path, kind, samples, tags) as file:
        for index, segment in enumerate(segments):
            pcm, pause = decode_wav(read(segment.key)), pause_samples(segment.pause_s)
            assert len(pcm) == segment.samples
            is_last = index == len(segments) - 1 and not pause
            file.write(fade_edges(pcm, start=index > 0, end=not is_last))
            file.write(np.zeros(pause, np.int16))
    return samples
