"""The formats in which finished audio can be had."""

from __future__ import annotations

from enum import StrEnum


class Format(StrEnum):
    """A format, by the name that requests use, which is also its file's extension."""

    WAV = "wav"
    FLAC = "flac"
    MP3 = "mp3"
    OPUS = "opus"
    M4B = "m4b"

    @property
    def media_type(self) -> str:
        """What an answer says of its content."""
        return _MEDIA_TYPES[self]


_MEDIA_TYPES = {
    Format.WAV: "audio/wav",
    Format.FLAC: "audio/flac",
    Format.MP3: "audio/mpeg",
    Format.OPUS: "audio/ogg",
    Format.M4B: "audio/mp4",
}
