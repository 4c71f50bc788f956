"""What a server can speak with: its models and their voices."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Model:
    """One model; `workers` is how many live processes hold it now."""

    id: str
    task: str
    size: str | None
    voices: tuple[str, ...]
    languages: tuple[str, ...]
    instructions: bool
    workers: int

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Self:
        """Read one entry of `GET /v1/models`; KeyError or TypeError where it is none."""
        return cls(
            id=body["id"],
            task=body["task"],
            size=body.get("size"),
            voices=tuple(body.get("voices") or ()),
            languages=tuple(body.get("languages") or ()),
            instructions=bool(body.get("instructions")),
            workers=int(body.get("workers", 0)),
        )

    def answers_to(self, name: str) -> bool:
        """Whether `name` means this model: its id, or a whole-word start or end of it.

        `tiny` means `tiny-Base`; `0.6B-Base` means `Qwen/Qwen3-TTS-12Hz-0.6B-Base`.
        """
        own, name = self.id.lower(), name.lower()
        return own == name or own.startswith(f"{name}-") or own.endswith((f"-{name}", f"/{name}"))


@dataclass(frozen=True, slots=True)
class Voice:
    """One voice: a model's own (`preset`) or an uploaded one (`cloned`).

    `language` is the one that it is most at home in; `warnings` say what is wrong with a recording.
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
        """Read one entry of `GET /v1/audio/voices`; KeyError or TypeError where it is none."""
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

    def answers_to(self, name: str) -> bool:
        """Whether `name` means this voice."""
        return name.casefold() in (self.id, self.name.casefold())
