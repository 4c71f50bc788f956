"""Models, queue, health and readiness, as the API answers with them."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from api.http.errors import ErrorBody


class ComputeObject(BaseModel):
    """A worker's arithmetic: its precision, and the fastest of the products that it timed.

    `int8_speedup` is how many times as fast int8 would speak to one listener; null if that is
    unknown, or it is int8.
    """

    precision: str
    language_model: str
    codec: str
    int8_speedup: float | None


# 22 January 2026, when Qwen3-TTS was released: clients of OpenAI's API ask for a time.
MODELS_CREATED_AT = 1_769_040_000


class ModelObject(BaseModel):
    """A model that workers serve; `workers` counts those alive now, `compute` is the latest's.

    `alias_of` is null, or the id of the model that another name stands for; all else is that one's.
    """

    id: str
    object: Literal["model"] = "model"
    created: int = MODELS_CREATED_AT
    owned_by: str = "qwen-tts-queue"
    task: str
    size: str
    voices: tuple[str, ...]
    languages: tuple[str, ...]
    instructions: bool
    workers: int
    compute: ComputeObject | None
    alias_of: str | None = None


class ModelList(BaseModel):
    """Every served model, then the names of `TTS_MODEL_ALIASES`."""

    object: Literal["list"] = "list"
    data: list[ModelObject]


class SpeechModelList(ModelList):
    """Every served model, as `data` and again as `models`: clients read one or the other."""

    models: list[ModelObject]


class Counts(BaseModel):
    """Numbers of waiting entries, and of those in progress."""

    queued: int
    in_progress: int


class ModelQueue(BaseModel):
    """The queue of one model, and its live workers."""

    id: str
    task: str
    workers: int
    queued: int


class QueueObject(BaseModel):
    """The whole queue; its speed is that of the last minute.

    `workers` counts the live processes; one that serves several models is in the count of each.
    """

    object: Literal["queue"] = "queue"
    workers: int
    segments: Counts
    jobs: Counts
    models: list[ModelQueue]
    segments_per_minute: float
    audio_seconds_per_second: float


class Health(BaseModel):
    """That a process is up."""

    status: Literal["ok"] = "ok"


class CheckObject(BaseModel):
    """One of the things that the API needs, and the reason why it cannot be used."""

    ok: bool
    problem: str | None = None
    warnings: list[str] = []


class Readiness(BaseModel):
    """That jobs are accepted, and how many workers live to speak them."""

    status: Literal["ok"] = "ok"
    workers: int
    checks: dict[str, CheckObject]


class NotReady(ErrorBody):
    """That jobs cannot be accepted now, with the check that failed."""

    status: Literal["not_ready"] = "not_ready"
    checks: dict[str, CheckObject]
