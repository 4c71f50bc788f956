"""The base of all that is stored as JSON or as a hash of Redis."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """The base of stored records: frozen; unknown fields, of another version, are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")
