"""API keys: who may do what, and how much of it; only a hash of each is kept."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import math
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from enum import StrEnum
from typing import cast

from pydantic import field_validator
from redis import Redis

from shared.errors import KeyNotFound, Unavailable
from shared.records import Record
from shared.storage import Storage
from shared.store import keys
from shared.store.connection import redis_errors

TOKEN_PREFIX = "tts"
# Seconds for which a process may still accept a key that was revoked.
MAX_TABLE_AGE_S = 1.0
# Seconds between two attempts to write the mark.
MARK_RETRY_INTERVAL_S = 30.0
# The mark in the storage that API keys exist.
MARK_KEY = "keys-exist"
_MARK_CONTENT = b"""An API key was made for this service, so every request needs one.
To open the service again, see docs/security.md, "Open a service again".
"""
_log = logging.getLogger(__name__)


class Scope(StrEnum):
    """The rights of a key's holder."""

    READ = "read"
    SPEAK = "speak"
    VOICES = "voices"
    METRICS = "metrics"
    ADMIN = "admin"


# The scopes of a key that was made without any: not those of operators.
DEFAULT_SCOPES = (Scope.READ, Scope.SPEAK, Scope.VOICES)


class Quota(Record):
    """The most that one owner may have; None is what the settings say, or no limit."""

    open_jobs: int | None = None
    chars_per_day: int | None = None
    audio_s_per_day: int | None = None


class ApiKey(Record):
    """A key as it is kept. Records belong to its `owner`, by default to the key alone.

    `operator_scopes` are those that a version before this one lacks: it would refuse all keys for
    an unknown scope in `scopes`, and passes over a field that it does not know.
    """

    id: str
    name: str
    owner: str
    digest: str
    scopes: tuple[Scope, ...] = DEFAULT_SCOPES
    operator_scopes: tuple[Scope, ...] = ()
    quota: Quota = Quota()
    created_at: float
    revoked_at: float | None = None

    @field_validator("scopes", "operator_scopes", mode="before")
    @classmethod
    def _leave_out_scopes_of_newer_versions(cls, scopes: Sequence[str]) -> list[str]:
        return [scope for scope in scopes if scope in tuple(Scope)]

    @property
    def all_scopes(self) -> tuple[Scope, ...]:
        """The scopes of both kinds."""
        return (*self.scopes, *self.operator_scopes)


@dataclass(frozen=True)
class KeyTable:
    """All keys by id, as they were at one moment, and whether a request needs one."""

    keys: Mapping[str, ApiKey]
    required: bool = False

    def find(self, token: str) -> ApiKey | None:
        """The live key of a token.

        The time it takes says nothing of the secret: hashes are compared, and always one.
        """
        prefix, key_id, secret = _parts(token)
        key = self.keys.get(key_id)
        same = hmac.compare_digest(_digest(secret), key.digest if key else _digest(""))
        is_live = key is not None and key.revoked_at is None
        return key if same and is_live and prefix == TOKEN_PREFIX else None

    def id_of(self, token: str) -> str | None:
        """The id in a token, if it is that of a key, live or not, whatever the secret: for logs."""
        _, key_id, _ = _parts(token)
        return key_id if key_id in self.keys else None


class KeyMark:
    """The object `keys-exist` of a storage, which stays if Redis loses the keys.

    Every method raises `Unavailable` when that fails. It is never deleted by this program:
    docs/security.md says when an operator may do so.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def is_set(self) -> bool:
        """True if a key was made for this service at any time."""
        return self._storage.has(MARK_KEY)

    def set(self) -> None:
        """Write the mark, unless it is there."""
        if not self.is_set():
            self._storage.put(MARK_KEY, _MARK_CONTENT)


class ApiKeys:
    """The keys in Redis; every method raises `Unavailable` while it is away.

    An object that has seen a key, or the mark that one was made, requires keys from then on: a
    Redis that loses its data opens nothing. If Redis has no keys and the storage cannot be read,
    `look` raises `Unavailable`, since nothing then says that the service is open. For `outage_s`
    seconds of a Redis that is away, `look` returns the keys that were read last.
    """

    def __init__(self, redis: Redis, mark: KeyMark | None = None, *, outage_s: float = 0.0) -> None:
        self._redis = redis
        self._mark = mark
        self._seen = False  # a key, or the mark
        # The value of keys.API_KEYS_OPEN when the storage was found to have no mark.
        self._open: str | None = None
        self._marked_s: float | None = None  # the last attempt to write the mark
        self._lock = threading.Lock()
        self._table = KeyTable({})
        self._version: str | None = None
        self._looked_s = -MAX_TABLE_AGE_S
        self._outage_s = outage_s
        self._away_since_s: float | None = None
        self._looking: Future[KeyTable] | None = None

    def create(
        self,
        name: str,
        *,
        owner: str | None = None,
        scopes: tuple[Scope, ...] = DEFAULT_SCOPES,
        quota: Quota | None = None,
    ) -> tuple[ApiKey, str]:
        """Make a key; returns it and its token, which is shown once.

        The mark is written first, so that it is there whenever Redis may lose the key.
        """
        if self._mark is not None:
            self._mark.set()
        key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        key = ApiKey(
            id=key_id,
            name=name,
            owner=owner or f"key_{key_id}",
            digest=_digest(secret),
            scopes=tuple(scope for scope in scopes if scope in DEFAULT_SCOPES),
            operator_scopes=tuple(scope for scope in scopes if scope not in DEFAULT_SCOPES),
            quota=quota or Quota(),
            created_at=time.time(),
        )
        self._write(key)
        return key, f"{TOKEN_PREFIX}_{key_id}_{secret}"

    def revoke(self, key_id: str) -> ApiKey:
        """Let a key open nothing any more; raises `KeyNotFound`."""
        key = self._read().get(key_id)
        if key is None:
            raise KeyNotFound(f"no key {key_id!r}; `narrate keys list` shows them")
        # It stays in the table: a server whose only key was revoked is not open.
        revoked = key.model_copy(update={"revoked_at": key.revoked_at or time.time()})
        self._write(revoked)
        return revoked

    def all(self) -> list[ApiKey]:
        """Every key, revoked ones too, the oldest first."""
        return sorted(self._read().values(), key=lambda key: key.created_at)

    def exist(self) -> bool:
        """True if any key was ever made: from then on one is asked for."""
        return self.look().required

    @property
    def fresh(self) -> KeyTable | None:
        """The table, if it was read within `MAX_TABLE_AGE_S`; else None."""
        return self._table if time.monotonic() - self._looked_s < MAX_TABLE_AGE_S else None

    @property
    def last(self) -> KeyTable | None:
        """The table that was read last, however long ago; None if none was yet."""
        return self._table if self._looked_s > 0 else None

    def look(self) -> KeyTable:
        """The table, read again if it has changed.

        Single flight: callers that come while one reads it share that reading.
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
            self._table = self._changed_or_last()
            self._looked_s = time.monotonic()
        except Unavailable as error:
            found.set_exception(error)
        else:
            found.set_result(self._table)
        finally:
            found.cancel()  # after any other error; does nothing if it has a result
            self._looking = None

    def _changed_or_last(self) -> KeyTable:
        """The table; during an outage that is not too long the last one, if it has keys."""
        try:
            table, self._away_since_s = self._changed(), None
        except Unavailable:
            now_s = time.monotonic()
            if self._away_since_s is None:
                self._away_since_s = now_s
            is_over = now_s - self._away_since_s >= self._outage_s
            if is_over or not self._table.keys:
                raise
            return self._table
        return table

    def _changed(self) -> KeyTable:
        with redis_errors():
            version, is_open = cast(
                "list[str | None]", self._redis.mget(keys.API_KEYS_VERSION, keys.API_KEYS_OPEN)
            )
        if version is None:
            return KeyTable({}, required=self._is_closed(is_open))
        if version != self._version:
            self._table, self._version = KeyTable(self._read(), required=True), version
        self._seen = True
        self._keep_mark()
        return self._table

    def _is_closed(self, is_open: str | None) -> bool:
        """True if keys are required though Redis has none."""
        if self._version is not None:
            _log.warning("Redis has lost the API keys; requests are refused until one is made")
            self._version = None
        if not self._seen and (is_open is None or is_open != self._open):
            # In this order: a key that is made after the storage was read deletes the value.
            value = is_open or self._declare_open()
            self._seen = self._mark is not None and self._mark.is_set()
            # Kept only once the storage has answered: until then each look asks it again.
            self._open = value
            if self._seen:
                _log.warning("Keys were made, and Redis has none; requests are refused")
        return self._seen

    def _declare_open(self) -> str | None:
        """The value of API_KEYS_OPEN; None if a full Redis takes none: the storage is read then."""
        try:
            with redis_errors():
                self._redis.set(keys.API_KEYS_OPEN, secrets.token_hex(8), nx=True)
                return cast("str | None", self._redis.get(keys.API_KEYS_OPEN))
        except Unavailable:
            return None

    def _keep_mark(self) -> None:
        """Write the mark in a thread of its own: no request waits for the storage."""
        now_s = time.monotonic()
        if self._mark is None or (
            self._marked_s and now_s - self._marked_s < MARK_RETRY_INTERVAL_S
        ):
            return
        self._marked_s = now_s
        threading.Thread(target=self._set_mark, name="key-mark", daemon=True).start()

    def _set_mark(self) -> None:
        assert self._mark is not None
        try:
            self._mark.set()
        except Unavailable as error:
            _log.warning("The mark that keys exist is not written yet: %s", error)
        else:
            self._marked_s = math.inf

    def _read(self) -> dict[str, ApiKey]:
        with redis_errors():
            rows = cast(dict[str, str], self._redis.hgetall(keys.API_KEYS))
        return {key_id: ApiKey.model_validate(json.loads(row)) for key_id, row in rows.items()}

    def _write(self, key: ApiKey) -> None:
        with redis_errors(), self._redis.pipeline() as pipe:
            pipe.hset(keys.API_KEYS, key.id, key.model_dump_json())
            # Random, not counted: after a loss of data it must not come to an old value again.
            pipe.set(keys.API_KEYS_VERSION, secrets.token_hex(8))
            pipe.delete(keys.API_KEYS_OPEN)
            pipe.execute()


def _parts(token: str) -> tuple[str, str, str]:
    prefix, _, rest = token.partition("_")
    key_id, _, secret = rest.partition("_")
    return prefix, key_id, secret


def _digest(secret: str) -> str:
    """The hash of a secret; a fast one is enough, since a secret has 256 random bits."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
