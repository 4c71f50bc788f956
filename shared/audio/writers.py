"""Streaming writers of finished audio files, one for each format."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import av
import soundfile
from av.stream import Disposition

from shared.audio.encoding import Encoder, Encoding
from shared.audio.wav import Pcm
from shared.errors import Unavailable
from shared.formats import Format
from shared.images import Picture, picture_of
from shared.speech_model import SAMPLE_RATE
from shared.timings import ChapterTiming

if TYPE_CHECKING:
    from av.container.core import Chapter

# The largest size that a WAV header can hold; RF64 (EBU Tech 3306) holds larger ones.
MAX_WAV_BYTES = 2**32 - 2**16
SAMPLE_BYTES = 2
MILLISECOND = Fraction(1, 1_000)


class Writer(Protocol):
    """A writer of int16 samples [n] in order."""

    def write(self, samples: Pcm) -> None:
        """Append samples."""
        ...


GENRE = "Audiobook"
AUDIOBOOK_MEDIA_TYPE = "2"  # of iTunes: players list it among books


@dataclass(frozen=True)
class Tags:
    """The metadata of a file: `language` in ISO 639-2, `track` as `2/12`, `cover` a JPEG or PNG.

    A WAV has none of it.
    """

    title: str | None = None
    album: str | None = None
    author: str | None = None
    narrator: str | None = None
    date: str | None = None
    description: str | None = None
    language: str | None = None
    track: str | None = None
    cover: bytes | None = None
    chapters: tuple[ChapterTiming, ...] = ()

    @property
    def fields(self) -> dict[str, str]:
        """The texts that are known, under FFmpeg's names."""
        named = {
            "title": self.title,
            "album": self.album,
            "artist": self.author,
            "album_artist": self.author,
            "composer": self.narrator,
            "date": self.date,
            "description": self.description,
            "language": self.language,
            "track": self.track,
        }
        found = {name: value for name, value in named.items() if value}
        return found and {**found, "genre": GENRE}


ENCODINGS = {
    Format.FLAC: Encoding("flac", "flac"),
    Format.MP3: Encoding("mp3", "libmp3lame", 64_000),
    Format.OPUS: Encoding("ogg", "libopus", 32_000),
    # faststart: players can start before the whole file is downloaded.
    Format.M4B: Encoding("mp4", "aac", 64_000, {"movflags": "+faststart", "brand": "M4B "}),
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
    """A file with its metadata, complete when its context ends.

    FLAC and Opus have chapters as comments, and Opus has all its metadata in its stream.
    """

    def __init__(self, path: Path, encoding: Encoding, tags: Tags) -> None:
        super().__init__(str(path), encoding)
        kind, picture = encoding.container, picture_of(tags.cover or b"")
        fields = tags.fields
        if kind == "mp4":
            fields["media_type"] = AUDIOBOOK_MEDIA_TYPE
            if language := fields.pop("language", None):
                self._stream.metadata["language"] = language
        if kind in ("mp4", "mp3"):
            self.container.set_chapters(_marks(tags.chapters))
        else:
            fields |= _chapter_comments(tags.chapters)
            if track := fields.pop("track", None):
                fields["track"], _, fields["TRACKTOTAL"] = track.partition("/")
        if kind == "ogg" and picture and tags.cover:
            fields["METADATA_BLOCK_PICTURE"] = _picture_block(picture, tags.cover)
        (self._stream if kind == "ogg" else self.container).metadata.update(fields)
        if kind != "ogg" and picture and tags.cover:
            self._add_cover(picture, tags.cover)

    def _add_cover(self, picture: Picture, content: bytes) -> None:
        stream = self.container.add_mux_stream(
            picture.codec, width=picture.width, height=picture.height
        )
        stream.disposition = Disposition.attached_pic
        packet = av.Packet(content)
        packet.stream, packet.pts, packet.dts, packet.is_keyframe = stream, 0, 0, True
        self.container.mux_one(packet)

    def __enter__(self) -> _EncodedFile:
        return self

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        try:
            if failed is None:
                self.finish()
        finally:
            self.close()


def _marks(chapters: tuple[ChapterTiming, ...]) -> list[Chapter]:
    return [
        {
            "id": number,
            "start": round(chapter.start_s / MILLISECOND),
            "end": round(chapter.end_s / MILLISECOND),
            "time_base": MILLISECOND,
            "metadata": {"title": chapter.title},
        }
        for number, chapter in enumerate(chapters)
    ]


def _chapter_comments(chapters: tuple[ChapterTiming, ...]) -> dict[str, str]:
    """Chapters as Vorbis comments: `CHAPTER001=00:01:02.500` and `CHAPTER001NAME=The Lamp`.

    Source: https://wiki.xiph.org/Chapter_Extension
    """
    comments = {}
    for number, chapter in enumerate(chapters, 1):
        minutes, milliseconds = divmod(round(chapter.start_s / MILLISECOND), 60_000)
        seconds = f"{milliseconds // 1_000:02}.{milliseconds % 1_000:03}"
        name = f"CHAPTER{number:03}"
        comments[name] = f"{minutes // 60:02}:{minutes % 60:02}:{seconds}"
        comments[f"{name}NAME"] = chapter.title
    return comments


def _picture_block(picture: Picture, content: bytes) -> str:
    """A picture as FLAC's block in base64, as a comment of Ogg has it (RFC 9639, section 8.8)."""
    media_type = picture.media_type.encode("ascii")
    front_cover, depth, no_description, no_palette = 3, 24, 0, 0
    block = struct.pack(">II", front_cover, len(media_type)) + media_type
    block += struct.pack(
        ">IIIIII",
        *(no_description, picture.width, picture.height, depth, no_palette, len(content)),
    )
    return base64.b64encode(block + content).decode("ascii")
