"""The further ledgers of a deployment, each a Redis of its own with all records of some owners."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from shared.store.redis_address import RedisAddress

EXAMPLE = '{"b": {"redis_url": "redis://b:6379/0", "owners": ["acme"]}}'


class FurtherLedger(BaseModel):
    """A Redis, and the owners whose jobs, batches, voices, usage and webhooks are in it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    redis_url: str
    owners: frozenset[str]


_TABLE = TypeAdapter(dict[str, FurtherLedger])


def read_ledgers(text: str) -> dict[str, FurtherLedger]:
    """The ledgers of a JSON object by their names; raises `ValueError` without their URLs."""
    if not text.strip():
        return {}
    try:
        table = _TABLE.validate_json(text)
    except ValidationError:
        raise ValueError(
            f"write it as JSON with a URL and owners for each name: {EXAMPLE}"
        ) from None
    known: dict[str, str] = {}
    for name, ledger in table.items():
        if not (name.isascii() and name.isidentifier()):
            raise ValueError(f"{name!r} is no name of a ledger: use letters, digits and _")
        try:
            RedisAddress.parse(ledger.redis_url)
        except ValueError as error:
            raise ValueError(f"redis_url of {name}: {error}") from None
        for owner in ledger.owners:
            if known.setdefault(owner, name) != name:
                raise ValueError(f"{owner} is in {known[owner]} and in {name}: an owner is in one")
    return table
