"""The answers that a process holds: event streams, live speech, and polls that wait."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from shared.errors import TooManyListeners

RETRY_AFTER_S = 10


class HeldAnswers:
    """A limit of held answers, in all and for each owner of keys.

    Clients without a key are not told apart: for them there is the limit of all only.
    """

    def __init__(self, most: int, of_one: int) -> None:
        self._most, self._of_one = most, of_one
        self._owners: Counter[str | None] = Counter()

    @contextmanager
    def place(self, owner: str | None) -> Iterator[None]:
        """Hold one answer of an owner, None without keys; raises `TooManyListeners`."""
        self._check(owner)
        self._owners[owner] += 1
        try:
            yield
        finally:
            self._owners[owner] -= 1
            if not self._owners[owner]:
                del self._owners[owner]

    def _check(self, owner: str | None) -> None:
        if owner is not None and self._owners[owner] >= self._of_one:
            said = f"you have {self._of_one:,} answers open (MAX_OWNER_LISTENERS)"
        elif self._owners.total() >= self._most:
            said = f"all clients have {self._most:,} answers open (MAX_LISTENERS)"
        else:
            return
        raise TooManyListeners(
            f"{said}, which is the most: end some, or poll the job instead",
            retry_after_s=RETRY_AFTER_S,
        )
