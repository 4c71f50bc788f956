"""The caller of a request: the owner of what it sends, its limits and its idempotency key."""

from __future__ import annotations

from dataclasses import dataclass, replace

from shared.jobs import PUBLIC
from shared.settings import Settings
from shared.store.api_keys import ApiKey, Quota
from shared.store.limits import NO_LIMIT, Limits


@dataclass(frozen=True)
class Caller:
    """The owner of a request, its API key, and its idempotency key if it has one.

    Without a `key` the server is open: all callers are one owner, whatever token they send.
    """

    owner: str
    key: ApiKey | None = None
    idempotency_key: str | None = None

    @property
    def tenant(self) -> str | None:
        """The owner whose records are visible; None on an open server: all owners."""
        return self.owner if self.key else None

    @property
    def space(self) -> str:
        """The namespace of the caller's own ids for jobs and voices."""
        return self.tenant or PUBLIC

    def once(self, key: str) -> Caller:
        """A copy with this idempotency key."""
        return replace(self, idempotency_key=key)

    def sees(self, owner: str) -> bool:
        """True if the records of `owner` are visible to this caller."""
        return self.tenant in (None, owner)

    def limits(self, settings: Settings) -> Limits:
        """The admission limits of this caller: its key's quota, else the settings."""
        quota = self.key.quota if self.key else Quota()
        return Limits(
            open_segments=settings.max_open_segments,
            owner_jobs=quota.open_jobs or settings.max_open_jobs,
            owner_chars=settings.max_open_chars,
            owner_segments=settings.max_owner_segments,
            owner_bytes=settings.max_open_bytes,
            day_chars=quota.chars_per_day or NO_LIMIT,
            day_audio_s=quota.audio_s_per_day or NO_LIMIT,
        )
