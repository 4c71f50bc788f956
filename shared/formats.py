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


class SpeechFormat(StrEnum):
    """A format in which speech can be heard while it is made, under OpenAI's names."""

    MP3 = "mp3"
    OPUS = "opus"
    AAC = "aac"
    FLAC = "flac"
    WAV = "wav"
    PCM = "pcm"

    @property
    def media_type(self) -> str:
        """What an answer says of its content."""
        return _SPOKEN.get(self, f"audio/{self}")


_SPOKEN = {SpeechFormat.MP3: "audio/mpeg", SpeechFormat.OPUS: "audio/ogg"}
