"""The further ledgers of a deployment, each a Redis of its own with all records of some owners."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from shared.store.redis_address import RedisAddress

# The name of the ledger of TTS_REDIS_URL.
FIRST_LEDGER = "first"
EXAMPLE = '{"b": {"redis_url": "redis://b:6379/0", "owners": ["acme"]}}'


class FurtherLedger(BaseModel):
    """A Redis, and the owners whose jobs, batches, voices, usage and webhooks are in it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    redis_url: str
    owners: frozenset[str]


_TABLE = TypeAdapter(dict[str, FurtherLedger])


def read_ledgers(text: str, first_url: str | None = None) -> dict[str, FurtherLedger]:
    """The ledgers of a JSON object by their names; raises `ValueError` without their URLs.

    `first_url` is the URL of the first ledger, if it is known: no other has the same Redis.
    """
    if not text.strip():
        return {}
    try:
        json.loads(text, object_pairs_hook=_refuse_repeated)
        table = _TABLE.validate_json(text)
    except (ValidationError, RecursionError, json.JSONDecodeError):
        raise ValueError(
            f"write it as JSON with a URL and owners for each name: {EXAMPLE}"
        ) from None
    known: dict[str, str] = {}
    places = {str(RedisAddress.parse(first_url)): FIRST_LEDGER} if first_url else {}
    for name, ledger in table.items():
        if not (name.isascii() and name.isidentifier()):
            raise ValueError(f"{name!r} is no name of a ledger: use letters, digits and _")
        if name == FIRST_LEDGER:
            raise ValueError(f"{name} is the ledger of TTS_REDIS_URL: give this one another name")
        try:
            place = str(RedisAddress.parse(ledger.redis_url))
        except ValueError as error:
            raise ValueError(f"redis_url of {name}: {error}") from None
        if places.setdefault(place, name) != name:
            raise ValueError(f"{places[place]} and {name} have the same Redis: give each its own")
        for owner in ledger.owners:
            if known.setdefault(owner, name) != name:
                raise ValueError(f"{owner} is in {known[owner]} and in {name}: an owner is in one")
    return table


def _refuse_repeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these pairs; raises `ValueError` for a name that is in it twice.

    A parser would keep the last one alone: owners of the other would be in the first ledger.
    """
    table = dict(pairs)
    if len(table) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{repeated!r} is in it twice")
    return table
