"""The limit of listeners of a process: event streams, live speech, and polls that wait."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from shared.errors import TooManyListeners

RETRY_AFTER_S = 10


class ListenerLimit:
    """A limit of listeners, in all and for each owner of keys.

    Clients without a key cannot be told apart: only the limit in all holds for them.
    """

    def __init__(self, max_listeners: int, max_owner_listeners: int) -> None:
        self._max_listeners, self._max_owner_listeners = max_listeners, max_owner_listeners
        self._listeners: Counter[str | None] = Counter()

    @contextmanager
    def listening(self, owner: str | None) -> Iterator[None]:
        """Count one listener of an owner, None without keys; raises `TooManyListeners`."""
        self._check(owner)
        self._listeners[owner] += 1
        try:
            yield
        finally:
            self._listeners[owner] -= 1
            if not self._listeners[owner]:
                del self._listeners[owner]

    def _check(self, owner: str | None) -> None:
        if owner is not None and self._listeners[owner] >= self._max_owner_listeners:
            said = f"you have {self._max_owner_listeners:,} listeners (TTS_MAX_OWNER_LISTENERS)"
        elif self._listeners.total() >= self._max_listeners:
            said = f"all clients have {self._max_listeners:,} listeners (TTS_MAX_LISTENERS)"
        else:
            return
        raise TooManyListeners(
            f"{said}, which is the most: end some, or poll the job instead",
            retry_after_s=RETRY_AFTER_S,
        )
