"""Saved voices: recordings to clone, each under a name of its owner's."""

from __future__ import annotations

import secrets
import unicodedata
from typing import Any, cast

from redis import Redis

from shared.errors import NameTaken, TooManyVoices, Unavailable, VoiceNotFound
from shared.records import Record
from shared.store import keys
from shared.store.connection import older_than, redis_errors
from shared.store.scripts import Steps

VOICE_PREFIX = "voice_"
# Seconds from the first file to the record of a voice: later its files are swept.
RECORD_TIMEOUT_S = 60.0


class VoiceWarning(Record):
    """Something about a recording that may make its voice worse; `code` is stable."""

    code: str
    message: str


class Voice(Record):
    """A saved voice: what is known of its recording, and that the speaker agreed (`consent`).

    `digest` is the hash of the recording; `ref_text`, what is said in it.
    """

    id: str
    owner: str
    name: str
    consent: str
    digest: str
    duration_s: float
    ref_text: str | None = None
    language: str | None = None
    description: str | None = None
    warnings: tuple[VoiceWarning, ...] = ()
    created_at: float = 0.0


class Voices:
    """Saved voices in Redis; their files are in the storage.

    Files are written first and deleted last. In between, the voice's folder is in a list from which
    workers sweep it, so that no file stays behind if the process dies. Every method may raise
    `Unavailable`.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._steps = Steps(redis)

    def begin(self, voice_id: str) -> None:
        """Note that files of a voice are going to be written."""
        self._steps.run("voice_begin", voice_id)

    def create(self, voice: Voice, *, most: int) -> Voice:
        """Create a voice whose files are written, unless its owner has `most` voices.

        Raises `NameTaken`, `TooManyVoices`, or `Unavailable` if the files took too long.
        """
        record = voice.model_dump_json(exclude={"created_at"})
        name = comparable(voice.name)
        outcome, *at = self._steps.run(
            "voice_create", voice.id, voice.owner, name, record, most, RECORD_TIMEOUT_S
        )
        match outcome:
            case "name_taken":
                raise NameTaken(f"you have a voice {voice.name!r} already", param="name")
            case "too_many":
                raise TooManyVoices(f"you have {most:,} voices, which is the most; delete some")
            case "late":
                raise Unavailable("the recording took too long to be stored; send it again")
        return voice.model_copy(update={"created_at": float(at[0])})

    def get(self, voice_id: str) -> Voice:
        """The voice of an id; raises `VoiceNotFound`."""
        with redis_errors():
            fields = cast(dict[str, Any], self._redis.hgetall(keys.voice(voice_id)))
        if not fields:
            raise VoiceNotFound(f"no voice {voice_id!r}", param="voice_id")
        return _read(fields)

    def exists(self, voice_id: str) -> bool:
        """True if there is a voice of this id."""
        with redis_errors():
            return bool(self._redis.exists(keys.voice(voice_id)))

    def named(self, owner: str, name: str) -> str | None:
        """The id of an owner's voice by its name, in any case."""
        with redis_errors():
            return cast("str | None", self._redis.hget(keys.owner_voices(owner), comparable(name)))

    def of(self, owner: str) -> list[Voice]:
        """All voices of an owner, by name."""
        with redis_errors():
            ids = cast(list[str], self._redis.hvals(keys.owner_voices(owner)))
            with self._redis.pipeline(transaction=False) as pipe:
                for voice_id in ids:
                    pipe.hgetall(keys.voice(voice_id))
                rows = pipe.execute()
        # One that was deleted in between has no fields.
        return sorted(map(_read, filter(None, rows)), key=lambda voice: comparable(voice.name))

    def delete(self, voice_id: str) -> bool:
        """Delete the record of a voice, whose folder is to be deleted next; False if it is gone."""
        return bool(self._steps.run("voice_delete", voice_id))

    def left_behind(self, age_s: float, *, limit: int = 100) -> list[str]:
        """Voices that were gone `age_s` seconds ago, and whose folders may still be there."""
        return older_than(self._redis, keys.VOICE_FOLDERS, age_s, limit)

    def files_deleted(self, voice_id: str) -> None:
        """Note that nothing is left of a voice."""
        with redis_errors():
            self._redis.zrem(keys.VOICE_FOLDERS, voice_id)


def new_voice_id() -> str:
    """An id that cannot be guessed."""
    return f"{VOICE_PREFIX}{secrets.token_hex(16)}"


def comparable(name: str) -> str:
    """The form in which names are compared: names that look alike have one."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def voice_folder(voice_id: str) -> str:
    """The folder of a voice's files in the storage."""
    return f"voices/{voice_id}"


def recording_key(voice_id: str) -> str:
    """The storage key of the recording, normalised as models get it."""
    return f"{voice_folder(voice_id)}/recording.wav"


def prompt_key(voice_id: str, name: str) -> str:
    """The storage key of the voice clone prompt called `name`."""
    return f"{voice_folder(voice_id)}/prompt-{name}.safetensors"


def _read(fields: dict[str, Any]) -> Voice:
    voice = Voice.model_validate_json(fields["record"])
    return voice.model_copy(update={"created_at": float(fields["created_at"])})
