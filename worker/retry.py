"""Retries with exponential backoff, for as long as the claim that they serve is held."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from dataclasses import dataclass
from threading import Event
from typing import ParamSpec, TypeVar

from shared.backoff import backoff
from shared.errors import StorageRefused, Unavailable
from shared.jobs import Claim, SegmentResult
from shared.storage import Storage
from shared.store.ledger import Ledger

# Credentials may be in the middle of a rotation; after this time they are taken for wrong.
REFUSAL_LIMIT_S = 15.0
FIRST_BACKOFF_S, MAX_BACKOFF_S = 0.5, 10.0
_log = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")


def retry_while_held(revoked: Event, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return the result of `call`, retried while it raises `Unavailable`.

    Pauses double from 0.5 s to 10 s. Raises `CancelledError` once the claim is `revoked`, and
    `StorageRefused` once the storage has refused for `REFUSAL_LIMIT_S` seconds.
    """
    refused_since_s = None
    for pause_s in backoff(FIRST_BACKOFF_S, MAX_BACKOFF_S):
        if revoked.is_set():
            break
        try:
            return call(*args, **kwargs)
        except StorageRefused as error:
            refused_since_s = refused_since_s or time.monotonic()
            if time.monotonic() - refused_since_s >= REFUSAL_LIMIT_S:
                raise
            _log.warning("Trying again in %g s: %s", pause_s, error)
        except Unavailable as error:
            refused_since_s = None
            _log.warning("Trying again in %g s: %s", pause_s, error)
        revoked.wait(pause_s)
    raise CancelledError


@dataclass(frozen=True)
class HeldClaim:
    """A claim whose lease is renewed, with the steps that it needs of the ledger and the storage.

    `revoked` is set when the lease is lost, the job is cancelled or the worker stops. Every step
    is retried as by `retry_while_held`, and raises as that does.
    """

    claim: Claim
    revoked: Event
    ledger: Ledger
    storage: Storage

    def require(self) -> None:
        """Raises `CancelledError` if the claim is revoked."""
        if self.revoked.is_set():
            raise CancelledError

    def retry(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return the result of `call`, retried while it raises `Unavailable`."""
        return retry_while_held(self.revoked, call, *args, **kwargs)

    def get(self, key: str) -> bytes:
        """The stored object under a key; raises `ObjectNotFound` if there is none."""
        return self.retry(self.storage.get, key)

    def put(self, key: str, content: bytes) -> None:
        """Store an object under a key."""
        self.retry(self.storage.put, key, content)

    def commit(self, result: SegmentResult, *, size_bytes: int = 0) -> Claim | None:
        """Commit the claim's result; returns the claim on the job's join if that is next.

        Raises `StaleClaim` if the claim is no longer this worker's.
        """
        return self.retry(self.ledger.commit, self.claim, result, size_bytes=size_bytes)
