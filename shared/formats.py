"""Audio formats: of finished files, and of streamed speech."""

from __future__ import annotations

from enum import StrEnum

# Of recordings that clients send, for the texts of the API.
READABLE_FORMATS = "wav, flac, ogg, mp3, m4a, webm, aiff, caf or wma"


class Format(StrEnum):
    """A file format, by its name in requests, which is also its file's extension."""

    WAV = "wav"
    FLAC = "flac"
    MP3 = "mp3"
    OPUS = "opus"
    M4B = "m4b"

    @property
    def media_type(self) -> str:
        """The Content-Type of audio in this format."""
        return _MEDIA_TYPES[self]


_MEDIA_TYPES = {
    Format.WAV: "audio/wav",
    Format.FLAC: "audio/flac",
    Format.MP3: "audio/mpeg",
    Format.OPUS: "audio/ogg",
    Format.M4B: "audio/mp4",
}


class SpeechFormat(StrEnum):
    """A format for streamed speech, under OpenAI's name for it."""

    MP3 = "mp3"
    OPUS = "opus"
    AAC = "aac"
    FLAC = "flac"
    WAV = "wav"
    PCM = "pcm"

    @property
    def media_type(self) -> str:
        """The Content-Type of audio in this format."""
        return _SPEECH_MEDIA_TYPES.get(self, f"audio/{self}")


_SPEECH_MEDIA_TYPES = {SpeechFormat.MP3: "audio/mpeg", SpeechFormat.OPUS: "audio/ogg"}
