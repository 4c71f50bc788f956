"""The models and voices of a server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Model:
    """One model; `workers` is the number of live processes that serve it."""

    id: str
    task: str
    size: str | None
    voices: tuple[str, ...]
    languages: tuple[str, ...]
    instructions: bool
    workers: int

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Self:
        """Read one entry of `GET /v1/models`. Raises KeyError or TypeError if it is none."""
        return cls(
            id=body["id"],
            task=body["task"],
            size=body.get("size"),
            voices=tuple(body.get("voices") or ()),
            languages=tuple(body.get("languages") or ()),
            instructions=bool(body.get("instructions")),
            workers=int(body.get("workers", 0)),
        )

    def matches(self, name: str) -> bool:
        """True if `name` is this model's id, or a prefix or suffix of it that ends at a dash.

        `tiny` matches `tiny-Base`; `0.6B-Base` matches `Qwen/Qwen3-TTS-12Hz-0.6B-Base`.
        """
        own, name = self.id.lower(), name.lower()
        return own == name or own.startswith(f"{name}-") or own.endswith((f"-{name}", f"/{name}"))


@dataclass(frozen=True, slots=True)
class Voice:
    """One voice: a model's own (`preset`) or an uploaded one (`cloned`).

    `language` is its native one; `warnings` are the defects of an uploaded recording.
    """

    id: str
    name: str
    model: str | None
    language: str | None
    kind: str = "preset"
    description: str | None = None
    duration_s: float | None = None
    warnings: tuple[str, ...] = ()

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Self:
        """Read an entry of `GET /v1/audio/voices`. Raises KeyError or TypeError if it is none."""
        return cls(
            id=body["id"],
            name=body.get("name", body["id"]),
            model=body.get("model"),
            language=body.get("language"),
            kind=body.get("kind", "preset"),
            description=body.get("description"),
            duration_s=body.get("duration_s"),
            warnings=tuple(warning["message"] for warning in body.get("warnings") or ()),
        )

    def matches(self, name: str) -> bool:
        """True if `name` is this voice's id or name, in any case."""
        return name.casefold() in (self.id, self.name.casefold())
