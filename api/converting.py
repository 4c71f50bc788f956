"""Finished audio in another format than it was asked for: made once, and kept beside it."""

from __future__ import annotations

from typing import Annotated

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import Query

from api.deps import Services
from shared.audio.decoding import decode
from shared.audio.writers import Tags, open_writer
from shared.errors import InvalidRequest, ObjectNotFound
from shared.formats import Format
from shared.jobs import Job
from shared.places import other_key, timings_key
from shared.storage import Storage, temporary_folder
from shared.timings import Timings

# Minutes of work otherwise: a worker does it at once if it is asked to.
LONGEST_S = 3_600
# One at a time in a process, and who waits for it holds no thread.
ONE_AT_A_TIME = CapacityLimiter(1)

Wanted = Annotated[
    Format | None,
    Query(alias="format", description="Another format than the job's own; of up to an hour."),
]


async def stored(job: Job, wanted: Format | None, services: Services) -> str:
    """Where a job's audio lies in the wanted format, once it is there; raises `InvalidRequest`."""
    assert job.result_key is not None
    if wanted in (None, job.spec.response_format):
        return job.result_key
    if job.audio_s > LONGEST_S:
        raise InvalidRequest(
            f"audio of more than {LONGEST_S:,} s is not made into another format: send the text "
            f"with response_format={wanted}",
            param="format",
        )
    return await run_sync(_converted, job, wanted, services.storage, limiter=ONE_AT_A_TIME)


def _converted(job: Job, kind: Format, storage: Storage) -> str:
    assert job.result_key is not None
    key = other_key(job.result_key, kind)
    try:
        storage.look(key)
    except ObjectNotFound:
        _convert(job, kind, job.result_key, key, storage)
    return key


def _convert(job: Job, kind: Format, source: str, key: str, storage: Storage) -> None:
    timings = Timings.model_validate_json(storage.get(timings_key(source)))
    tags = Tags(job.outline.title, job.outline.author, timings.marks(job.outline.title))
    content = storage.open_read(source, 0, storage.look(source).size_bytes)
    with temporary_folder() as folder:
        path = folder / f"audio.{kind}"
        with open_writer(path, kind, job.samples, tags) as file:
            for pcm in decode(content):
                file.write(pcm)
        storage.put(key, path)
