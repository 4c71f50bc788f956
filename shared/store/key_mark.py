"""The mark in the storage that API keys exist; it stays if Redis loses the keys."""

from __future__ import annotations

from shared.storage import Storage

MARK_KEY = "keys-exist"
_CONTENT = b"""An API key was made for this service, so every request needs one.
To open the service again, see docs/security.md, "Open a service again".
"""


class KeyMark:
    """The object `keys-exist` of a storage; every method raises `Unavailable` when that fails.

    It is never deleted by this program: docs/security.md says when an operator may do so.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def is_set(self) -> bool:
        """True if a key was made for this service at any time."""
        return self._storage.has(MARK_KEY)

    def set(self) -> None:
        """Write the mark, unless it is there."""
        if not self.is_set():
            self._storage.put(MARK_KEY, _CONTENT)
