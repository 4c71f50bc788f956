"""API keys: who may do what, and how much of it; only a hash of each is kept."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from enum import StrEnum
from typing import cast

from redis import Redis

from shared.connection import redis_errors
from shared.errors import KeyNotFound, Unavailable
from shared.jobs import Record

PREFIX = "tts"
TABLE, VERSION = "tts:keys", "tts:keys:version"
# How long a key that was revoked may still be taken by a process that has looked before.
FRESH_S = 1.0


class Scope(StrEnum):
    """What a key lets its holder do."""

    READ = "read"
    SPEAK = "speak"
    VOICES = "voices"


class Quota(Record):
    """The most that one owner may have; None is what the settings say, or no limit."""

    open_jobs: int | None = None
    chars_per_day: int | None = None
    audio_s_per_day: int | None = None


class Key(Record):
    """A key as it is kept. Records belong to its `owner`, by default to the key alone."""

    id: str
    name: str
    owner: str
    digest: str
    scopes: tuple[Scope, ...] = tuple(Scope)
    quota: Quota = Quota()
    created_at: float
    revoked_at: float | None = None


@dataclass(frozen=True)
class KeyTable:
    """All keys by id, as they were at one moment."""

    keys: Mapping[str, Key]

    def find(self, token: str) -> Key | None:
        """The live key of a token.

        The time it takes says nothing of the secret: hashes are compared, and always one.
        """
        prefix, _, rest = token.partition("_")
        key_id, _, secret = rest.partition("_")
        key = self.keys.get(key_id)
        same = hmac.compare_digest(_digest(secret), key.digest if key else _digest(""))
        is_live = key is not None and key.revoked_at is None
        return key if same and is_live and prefix == PREFIX else None


class Keys:
    """The keys in Redis; every method raises `Unavailable` while it is away."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._lock = threading.Lock()
        self._table = KeyTable({})
        self._version: str | None = None
        self._looked_s = -FRESH_S
        self._looking: Future[KeyTable] | None = None

    def create(
        self,
        name: str,
        *,
        owner: str | None = None,
        scopes: tuple[Scope, ...] = tuple(Scope),
        quota: Quota | None = None,
    ) -> tuple[Key, str]:
        """Make a key; returns it and its token, which nobody can be told again."""
        key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        key = Key(
            id=key_id,
            name=name,
            owner=owner or f"key_{key_id}",
            digest=_digest(secret),
            scopes=scopes,
            quota=quota or Quota(),
            created_at=time.time(),
        )
        self._write(key)
        return key, f"{PREFIX}_{key_id}_{secret}"

    def revoke(self, key_id: str) -> Key:
        """Let a key open nothing any more; raises `KeyNotFound`."""
        key = self._read().get(key_id)
        if key is None:
            raise KeyNotFound(f"no key {key_id!r}; `narrate keys list` shows them")
        # It stays in the table: a server whose only key was revoked is not open to everybody.
        revoked = key.model_copy(update={"revoked_at": key.revoked_at or time.time()})
        self._write(revoked)
        return revoked

    def all(self) -> list[Key]:
        """Every key that was ever made, the oldest first."""
        return sorted(self._read().values(), key=lambda key: key.created_at)

    def exist(self) -> bool:
        """Whether any key was ever made: from then on one is asked for."""
        return bool(self.look().keys)

    def find(self, token: str) -> Key | None:
        """The live key of a token."""
        return self.look().find(token)

    @property
    def fresh(self) -> KeyTable | None:
        """The table, if it was read just now; else it is to be looked at again."""
        return self._table if time.monotonic() - self._looked_s < FRESH_S else None

    def look(self) -> KeyTable:
        """The table, read again if it has changed.

        One looks for all who come meanwhile, so that nobody waits for a second one to look, too.
        """
        with self._lock:
            if (table := self.fresh) is not None:
                return table
            found, is_mine = self._looking, self._looking is None
            if found is None:
                found = self._looking = Future()
        if is_mine:
            self._look_for_all(found)
        return found.result()

    def _look_for_all(self, found: Future[KeyTable]) -> None:
        try:
            self._table = self._changed()
            self._looked_s = time.monotonic()
        except Unavailable as error:
            found.set_exception(error)
        else:
            found.set_result(self._table)
        finally:
            found.cancel()  # if it has no end yet, it is one that we know nothing of
            self._looking = None

    def _changed(self) -> KeyTable:
        with redis_errors():
            version = cast("str | None", self._redis.get(VERSION))
        if version != self._version or version is None:
            self._table, self._version = KeyTable(self._read()), version
        return self._table

    def _read(self) -> dict[str, Key]:
        with redis_errors():
            rows = cast(dict[str, str], self._redis.hgetall(TABLE))
        return {key_id: Key.model_validate(json.loads(row)) for key_id, row in rows.items()}

    def _write(self, key: Key) -> None:
        with redis_errors(), self._redis.pipeline() as pipe:
            pipe.hset(TABLE, key.id, key.model_dump_json())
            pipe.incr(VERSION)
            pipe.execute()


def _digest(secret: str) -> str:
    """A plain hash will do: the secret has 256 bits of chance."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
