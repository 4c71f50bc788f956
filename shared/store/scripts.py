"""The steps in Lua: their sources, each with the common parts before it, and how they are run."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from redis import Redis

from shared.durations import MIN_FRAMES, SAMPLES_PER_FRAME
from shared.jobs import TRANSITIONS
from shared.metrics import redis_step
from shared.store import keys
from shared.store.connection import redis_errors

COMMON_PARTS = (
    *("common", "history", "webhooks", "fair_queue", "leases", "batches", "finish", "deletion"),
)
# These run most often: a part that they do not need would cost time in each run.
PARTS_OF_STEPS = {
    "admit": ("common", "history", "fair_queue", "position", "admission"),
    "admit_part": ("common", "history", "fair_queue", "admission"),
    "read_job": ("common", "fair_queue", "position"),
    "read_jobs": ("common",),
    "queue": ("common", "fair_queue"),
    "oldest": ("common",),
    "agree": ("common",),
    "model_forget": ("common",),
    "weights": ("common",),
}
# A Redis that is full, read-only or cannot write its disk still answers these.
READING_STEPS = ("read_job", "read_jobs", "queue")
# A Redis that is full refuses these; all others may go on, since they free memory in the end.
INTAKE_STEPS = (
    *("admit", "admit_part", "voice_begin", "voice_create"),
    *("batch_begin", "batch_lines", "batch_admitted"),
)


class Steps:
    """The steps on one Redis; each is registered at its first run."""

    def __init__(self, redis: Redis) -> None:
        self._registered = cache(lambda name: redis.register_script(load(name)))

    def run(self, name: str, *args: str | float, client: Redis | None = None) -> Any:
        """The reply of a step, over the connections of `client` if given.

        Raises `Unavailable` if Redis does not answer, or refuses.
        """
        with redis_step(name), redis_errors():
            return self._registered(name)(args=list(args), client=client)


@cache
def load(name: str) -> str:
    """The source of `lua/{name}.lua`, after its flags and the parts that it may need."""
    folder = files("shared.store") / "lua"
    parts = [
        (folder / f"{part}.lua").read_text("utf-8")
        for part in (*PARTS_OF_STEPS.get(name, COMMON_PARTS), name)
    ]
    source = "".join(parts)
    return _flags(name) + keys.lua_names(source) + _with_constants(source)


def _with_constants(source: str) -> str:
    """The source with Python's constants in place of `@NAME@`, so that each is written once."""
    # The legal changes, as Lua writes a table.
    rows = (f"{old} = {{ {json.dumps(sorted(news))[1:-1]} }}" for old, news in TRANSITIONS.items())
    for name, value in (
        ("@TRANSITIONS@", f"{{ {', '.join(rows)} }}"),
        ("@MIN_FRAMES@", str(MIN_FRAMES)),
        ("@SAMPLES_PER_FRAME@", str(SAMPLES_PER_FRAME)),
    ):
        source = source.replace(name, value)
    return source


def _flags(name: str) -> str:
    """The line that tells Redis 7 what a step may do.

    Source: redis.io, "Redis programmability: script flags".
    """
    if name in READING_STEPS:
        return "#!lua flags=no-writes\n"
    return "#!lua\n" if name in INTAKE_STEPS else "#!lua flags=allow-oom\n"
