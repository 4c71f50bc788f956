"""Streaming writers of finished audio files, one for each format."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import soundfile

from shared.audio.encoding import Encoder, Encoding
from shared.audio.wav import Pcm
from shared.errors import Unavailable
from shared.formats import Format
from shared.speech_model import SAMPLE_RATE
from shared.timings import ChapterTiming

# The largest size that a WAV header can hold; RF64 (EBU Tech 3306) holds larger ones.
MAX_WAV_BYTES = 2**32 - 2**16
SAMPLE_BYTES = 2
MILLISECOND = Fraction(1, 1_000)


class Writer(Protocol):
    """A writer of int16 samples [n] in order."""

    def write(self, samples: Pcm) -> None:
        """Append samples."""
        ...


@dataclass(frozen=True)
class Tags:
    """The metadata of a file; only m4b holds chapters."""

    title: str | None = None
    author: str | None = None
    chapters: tuple[ChapterTiming, ...] = ()


ENCODINGS = {
    Format.FLAC: Encoding("flac", "flac"),
    Format.MP3: Encoding("mp3", "libmp3lame", 64_000),
    Format.OPUS: Encoding("ogg", "libopus", 32_000),
    # faststart: players can start before the whole file is downloaded.
    Format.M4B: Encoding("ipod", "aac", 64_000, {"movflags": "+faststart"}),
}


@contextmanager
def open_writer(path: Path, kind: Format, samples: int, tags: Tags) -> Iterator[Writer]:
    """Open a file for `samples` samples; it is complete when the context ends.

    Raises `Unavailable` if the disk is full or fails.
    """
    try:
        if kind is Format.WAV:
            size = samples * SAMPLE_BYTES
            long = "RF64" if size > MAX_WAV_BYTES else "WAV"
            with soundfile.SoundFile(path, "w", SAMPLE_RATE, 1, "PCM_16", format=long) as file:
                yield file
        else:
            with _EncodedFile(path, ENCODINGS[kind], tags) as encoded:
                yield encoded
    except (OSError, soundfile.LibsndfileError) as error:
        raise Unavailable(f"the audio could not be written: {error}") from error


class _EncodedFile(Encoder):
    """A file with its metadata, complete when its context ends."""

    def __init__(self, path: Path, encoding: Encoding, tags: Tags) -> None:
        super().__init__(str(path), encoding)
        for name, value in (("title", tags.title), ("artist", tags.author)):
            if value:
                self.container.metadata[name] = value
        if encoding.container == "ipod":  # FFmpeg writes Ogg's chapters late, and loses MP3's
            self._set_chapters(tags.chapters)

    def _set_chapters(self, chapters: tuple[ChapterTiming, ...]) -> None:
        self.container.set_chapters(
            [
                {
                    "id": number,
                    "start": round(chapter.start_s / MILLISECOND),
                    "end": round(chapter.end_s / MILLISECOND),
                    "time_base": MILLISECOND,
                    "metadata": {"title": chapter.title},
                }
                for number, chapter in enumerate(chapters)
            ]
        )

    def __enter__(self) -> _EncodedFile:
        return self

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        try:
            if failed is None:
                self.finish()
        finally:
            self.close()
