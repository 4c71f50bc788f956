"""The use of each owner: what it has open, and what of the day's quota is gone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from redis import Redis

from shared.records import Record
from shared.speech_model import SAMPLE_RATE
from shared.store import keys
from shared.store.connection import redis_errors, server_time_s

DAY_S = 86_400


class Usage(Record):
    """An owner's open jobs, characters, segments and bytes, and its day of UTC.

    `audio_s` is what was made, and what is reserved of open jobs.
    """

    owner: str
    open_jobs: int = 0
    open_chars: int = 0
    open_segments: int = 0
    open_bytes: int = 0
    chars: int = 0
    audio_s: float = 0.0


def read_usage(redis: Redis, owners: Iterable[str] = ()) -> list[Usage]:
    """The usage of these owners, and of all that have open jobs; raises `Unavailable`."""
    counters = (keys.OPEN_JOBS, keys.OPEN_CHARS, keys.OPEN_SEGMENTS, keys.OPEN_BYTES)
    with redis_errors():
        day = int(server_time_s(redis) // DAY_S)
        with redis.pipeline(transaction=False) as pipe:
            for key in counters:
                pipe.hgetall(key)
            opened = cast("list[dict[str, str]]", pipe.execute())
            names = sorted({*owners, *opened[0]})
            for owner in names:
                pipe.hmget(keys.usage(day, owner), "chars", "samples")
            used = pipe.execute()
    return [
        Usage(
            owner=owner,
            open_jobs=int(opened[0].get(owner, 0)),
            open_chars=int(opened[1].get(owner, 0)),
            open_segments=int(opened[2].get(owner, 0)),
            open_bytes=int(opened[3].get(owner, 0)),
            chars=int(chars or 0),
            audio_s=round(int(samples or 0) / SAMPLE_RATE, 1),
        )
        for owner, (chars, samples) in zip(names, used, strict=True)
    ]
