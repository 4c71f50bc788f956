"""The operator's routes of a server, for keys with the scope `admin`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self
from urllib.parse import quote

from client.errors import NarrateError
from client.http import Connection

# The body of an answer, as docs/api.md and the server's /docs describe it.
Answer = dict[str, Any]


class Operator:
    """A synchronous client of `/v1/admin`, also a context manager.

    `ledger` is one of TTS_LEDGERS; without it, that of the key. Every method raises errors of
    `client.errors`.
    """

    def __init__(
        self, base_url: str, *, ledger: str | None = None, timeout_s: float = 30.0
    ) -> None:
        self._connection = Connection(base_url, timeout_s, os.environ.get("NARRATE_KEY"))
        self._ledger = ledger
        self.base_url = self._connection.base_url

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._connection.close()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Raise NarrateError where an answer that is read within lacks what it should have."""
        try:
            yield
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise NarrateError(
                f"{self.base_url} answers, but not as this version expects: use the `narrate` of"
                " the server's version"
            ) from error

    def get(self, *path: str, **params: Any) -> Answer:
        """The server's answer at `/v1/admin/PATH`; a parameter that is None is not sent."""
        return self._request("GET", path, params)

    def post(self, *path: str, **params: Any) -> Answer:
        """The state after a change."""
        return self._request("POST", path, params)

    def delete(self, *path: str) -> Answer:
        """The state after something was forgotten."""
        return self._request("DELETE", path, {})

    def is_worker(self, name: str) -> bool:
        """True if `name` is the id of a live worker."""
        return any(worker["id"] == name for worker in self.get("workers")["data"])

    def _request(self, method: str, path: tuple[str, ...], params: dict[str, Any]) -> Answer:
        given = {**params, "ledger": self._ledger}
        params = {name: value for name, value in given.items() if value not in (None, [])}
        for each in path:
            # Another route would be asked.
            if not {"", ".", ".."}.isdisjoint(each.split("/")):
                raise NarrateError(f"there is no {each!r}: copy the id from a list")
        # A model's id has a slash of its own, which the routes expect as it is.
        url = "/".join(("/v1/admin", *(quote(part, safe="/") for part in path)))
        answer: Answer = self._connection.json(method, url, params=params)
        return answer
