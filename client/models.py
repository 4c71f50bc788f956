"""Jobs, batches, models and voices as the server describes them: frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

PRIORITIES = ("low", "normal", "high")
STATUSES = ("queued", "in_progress", "completed", "failed", "cancelled")
FINAL_STATUSES = frozenset({"completed", "failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class Segments:
    """The number of segments by state; truncated ones reached the limit on their length."""

    total: int = 0
    completed: int = 0
    failed: int = 0
    truncated: int = 0

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Self:
        """Read the `segments` of a job object."""
        return cls(*(body.get(name, 0) for name in ("total", "completed", "failed", "truncated")))


@dataclass(frozen=True, slots=True)
class Audio:
    """The finished audio: `sample_rate` in Hz, `bytes` of the whole file."""

    seconds: float
    sample_rate: int
    bytes: int
    format: str

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Self:
        """Read the `audio` of a job object. Raises KeyError or TypeError if it is none."""
        return cls(
            seconds=float(body["seconds"]),
            sample_rate=int(body["sample_rate"]),
            bytes=int(body["bytes"]),
            format=str(body["format"]),
        )


@dataclass(frozen=True, slots=True)
class Synthesis:
    """Synthesis so far: wall and audio seconds, RTF (wall ÷ audio), segments by batch size."""

    seconds: float | None = None
    audio_seconds: float = 0.0
    rtf: float | None = None
    batch_sizes: Mapping[int, int] = field(default_factory=dict)

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Self:
        """Read the `synthesis` of a job object."""
        sizes = {int(size): count for size, count in (body.get("batch_sizes") or {}).items()}
        made_s = float(body.get("audio_seconds") or 0)
        return cls(body.get("seconds"), made_s, body.get("rtf"), sizes)


@dataclass(frozen=True, slots=True)
class TextWarning:
    """Something of a job's text that was left out, guessed or mended, and where, if known."""

    code: str
    message: str
    where: str | None = None

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Self:
        """Read one of the `warnings` of a job object. Raises KeyError if it is none."""
        return cls(body.get("code", ""), body["message"], body.get("where"))

    def __str__(self) -> str:
        """The warning as a line: `page2.xhtml: a byte is no UTF-8`."""
        return f"{self.where}: {self.message}" if self.where else self.message


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """An entry of a job's history: its event, when it was in Unix seconds, and what is known.

    `segment` is a number or `join`; `raw` is the server's own answer.
    """

    number: int
    at: float
    event: str
    raw: Mapping[str, Any] = field(repr=False)
    segment: str | None = None
    attempt: int | None = None
    worker: str | None = None
    code: str | None = None
    reason: str | None = None
    request: str | None = None
    webhook: str | None = None
    count: int | None = None

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Self:
        """Read an entry. Raises KeyError or TypeError if it is none."""
        known = ("segment", "attempt", "worker", "code", "reason", "request", "webhook", "count")
        said = {name: body.get(name) for name in known}
        return cls(int(body["number"]), float(body["at"]), str(body["event"]), body, **said)


@dataclass(frozen=True, slots=True)
class History:
    """Entries of a job's history, and the number with which the next ones are asked for.

    A job that is not `recorded` was accepted by a version that kept no histories.
    """

    recorded: bool
    next: int
    entries: tuple[HistoryEntry, ...]

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Self:
        """Read a part of a history. Raises KeyError or TypeError if it is none."""
        entries = tuple(map(HistoryEntry.parse, body["data"]))
        return cls(bool(body["recorded"]), int(body["next"]), entries)


@dataclass(frozen=True, slots=True)
class Section:
    """A section of a document, by the number that `chapters` takes; `spoken` by default."""

    number: int
    title: str | None
    kind: str
    characters: int
    seconds: float
    spoken: bool

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Self:
        """Read a section of a document object. Raises KeyError or TypeError if it is none."""
        return cls(
            number=int(body["number"]),
            title=body.get("title"),
            kind=str(body.get("kind", "chapter")),
            characters=int(body["characters"]),
            seconds=float(body["seconds"]),
            spoken=bool(body["spoken"]),
        )


@dataclass(frozen=True, slots=True)
class Contents:
    """The contents of a document; `characters` and `seconds` are of what would be spoken."""

    title: str | None
    author: str | None
    language: str | None
    characters: int
    seconds: float
    sections: tuple[Section, ...]
    warnings: tuple[TextWarning, ...]

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Self:
        """Read a document object. Raises KeyError or TypeError if it is none."""
        return cls(
            title=body.get("title"),
            author=body.get("author"),
            language=body.get("language"),
            characters=int(body["characters"]),
            seconds=float(body["seconds"]),
            sections=tuple(map(Section.parse, body["sections"])),
            warnings=tuple(map(TextWarning.parse, body.get("warnings") or ())),
        )


@dataclass(frozen=True, slots=True)
class Job:
    """A job as the server last described it; times are Unix seconds, `progress` is 0–100.

    `waiting_for_model` is its model while no worker serves it. `chapters` are the titles of the
    first ones. `raw` is the server's own object, with the fields
    that newer servers add.
    """

    id: str
    status: str
    progress: int
    task: str
    model: str
    voice: str | None
    language: str | None
    created_at: float | None
    completed_at: float | None
    expires_at: float | None
    eta_s: float | None
    waiting_for_model: str | None
    error_code: str | None
    error_message: str | None
    segments: Segments
    chapters: tuple[str, ...]
    chapter_count: int
    warnings: tuple[TextWarning, ...]
    audio: Audio | None
    synthesis: Synthesis
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @property
    def ended(self) -> bool:
        """True if the job is in a final status."""
        return self.status in FINAL_STATUSES

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Self:
        """Read a job object. Raises KeyError or TypeError if it is none."""
        error = body.get("error") or {}
        return cls(
            id=body["id"],
            status=body["status"],
            progress=body.get("progress", 0),
            task=body["task"],
            model=body["model"],
            voice=body.get("voice"),
            language=body.get("language"),
            created_at=body.get("created_at"),
            completed_at=body.get("completed_at"),
            expires_at=body.get("expires_at"),
            eta_s=body.get("eta_s"),
            waiting_for_model=body.get("waiting_for_model"),
            error_code=error.get("code"),
            error_message=error.get("message"),
            segments=Segments.parse(body.get("segments") or {}),
            chapters=tuple(chapter["title"] for chapter in body.get("chapters") or ()),
            chapter_count=int(body.get("chapter_count") or len(body.get("chapters") or ())),
            warnings=tuple(map(TextWarning.parse, body.get("warnings") or ())),
            audio=Audio.parse(body["audio"]) if body.get("audio") is not None else None,
            synthesis=Synthesis.parse(body.get("synthesis") or {}),
            raw=body,
        )


def is_batch(name: str) -> bool:
    """True if `name` is the id of a batch, not of a job."""
    return name.startswith("batch_")


@dataclass(frozen=True, slots=True)
class Batch:
    """Many jobs submitted in one request; `failed` includes the cancelled ones."""

    id: str
    status: str
    total: int
    completed: int
    failed: int
    raw: Mapping[str, Any] = field(repr=False)

    @property
    def ended(self) -> bool:
        """True if the batch is in a final status."""
        return self.status in ("completed", "cancelled")

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Self:
        """Read a batch object. Raises KeyError or TypeError if it is none."""
        counts = body["request_counts"]
        return cls(
            id=body["id"],
            status=body["status"],
            total=counts["total"],
            completed=counts["completed"],
            failed=counts["failed"],
            raw=body,
        )


@dataclass(frozen=True, slots=True)
class BatchResult:
    """The outcome of one line: its completed job, or the error message."""

    custom_id: str
    job: Job | None
    error: str | None

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Self:
        """Read a line of a batch's output. Raises KeyError or TypeError if it is none."""
        answer = body["response"]
        error = body["error"]
        return cls(
            body["custom_id"],
            Job.parse(answer["body"]) if answer else None,
            error["message"] if error else None,
        )


@dataclass(frozen=True, slots=True)
class Model:
    """One model; `workers` is the number of live processes that serve it.

    `int8_speedup` is how many times as fast int8 would speak to one listener, if that is known.
    """

    id: str
    task: str
    size: str | None
    voices: tuple[str, ...]
    languages: tuple[str, ...]
    instructions: bool
    workers: int
    int8_speedup: float | None = None

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
            int8_speedup=(body.get("compute") or {}).get("int8_speedup"),
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
