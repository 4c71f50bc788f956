"""Finished audio in another format than it was asked for: made once, and kept beside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Annotated

import av
from av.audio.resampler import AudioResampler
from fastapi import Query

from api.http.limited_threads import LimitedThreads
from shared.audio.wav import Pcm
from shared.audio.writers import open_writer
from shared.errors import AudioDamaged, InvalidRequest, JobNotFound, ObjectNotFound
from shared.formats import Format
from shared.jobs import Job
from shared.speech_model import SAMPLE_RATE
from shared.storage import Storage, temporary_folder
from shared.storage_paths import job_folder, timings_key, transcoded_key
from shared.store.ledger import Ledger
from shared.tags import book_tags
from shared.timings import Timings

# Longer audio would take minutes here; request it with `response_format` instead.
MAX_AUDIO_S = 3_600
# A codec's own delay is shorter.
MAX_DELAY_S = 0.1

WantedFormat = Annotated[
    Format | None,
    Query(alias="format", description="Another format than the job's own; of up to an hour."),
]


class Transcoder:
    """Makes the audio of completed jobs in other formats, one at a time in a process."""

    def __init__(self, ledger: Ledger, storage: Storage, storage_threads: LimitedThreads) -> None:
        self._ledger = ledger
        self._storage = storage
        self._storage_threads = storage_threads
        # A request that waits for its turn holds no thread.
        self._threads = LimitedThreads(
            threads=1,
            max_waiting=16,
            max_wait_s=30.0,
            refusal="other audio is being made into another format; try again shortly",
        )

    async def ensure_format(self, job: Job, wanted: Format | None) -> str:
        """The key of a job's audio in a format, made if missing; raises `InvalidRequest`."""
        assert job.result_key is not None
        if wanted is None or wanted == job.spec.response_format:
            return job.result_key
        if job.audio_s > MAX_AUDIO_S:
            raise InvalidRequest(
                f"audio of more than {MAX_AUDIO_S:,} s is not made into another format: send the "
                f"text with response_format={wanted}",
                param="format",
            )
        key = transcoded_key(job.result_key, wanted)
        if not await self._storage_threads.run(self._storage.has, key):
            await self._threads.run(self._make, job, wanted, key)
        return key

    def _make(self, job: Job, kind: Format, key: str) -> None:
        """Convert a job's audio unless it was converted meanwhile; raises `JobNotFound`."""
        assert job.result_key is not None
        if self._storage.has(key):
            return
        _convert(job, kind, job.result_key, key, self._storage)
        try:
            self._ledger.job(job.id)
        except JobNotFound:
            # Deleted meanwhile: the cleaner may have removed its folder before this was stored.
            self._storage.delete_folder(job_folder(job.id))
            raise


def _convert(job: Job, kind: Format, source: str, key: str, storage: Storage) -> None:
    timings = Timings.model_validate_json(storage.get(timings_key(source)))
    cover = None
    if job.outline.cover:
        with suppress(ObjectNotFound):
            cover = storage.get(job.outline.cover)
    tags = book_tags(job, timings, cover)
    size = storage.look(source).size_bytes
    content = storage.open_read(source, 0, size) if size else iter(())
    with temporary_folder() as folder:
        path = folder / f"audio.{kind}"
        samples = 0
        with open_writer(path, kind, job.samples, tags) as file:
            for pcm in decode(content):
                file.write(pcm)
                samples += len(pcm)
        lost_s = abs(samples - job.samples) / SAMPLE_RATE
        if lost_s > MAX_DELAY_S:
            raise AudioDamaged(f"{lost_s:.1f} s of the stored audio cannot be read")
        storage.put(key, path)


def decode(content: Iterator[bytes]) -> Iterator[Pcm]:
    """Yield the int16 samples [n] at 24 kHz of a file with one track, in short chunks.

    Raises `AudioDamaged` at the first error; some decoders skip what they cannot read.
    """
    # Opus is always decoded at 48 kHz.
    resampler = AudioResampler("s16", "mono", SAMPLE_RATE)
    try:
        with av.open(_Pipe(content), "r") as file:
            for frame in file.decode(audio=0):
                yield from _pcm(resampler, frame)
            yield from _pcm(resampler, None)
    except av.FFmpegError as error:
        raise AudioDamaged(f"the stored audio cannot be read: {error.strerror}") from error


def _pcm(resampler: AudioResampler, frame: av.AudioFrame | None) -> Iterator[Pcm]:
    for each in resampler.resample(frame):
        yield each.to_ndarray()[0]


class _Pipe:
    """A readable file over chunks of bytes, for FFmpeg."""

    def __init__(self, content: Iterator[bytes]) -> None:
        self._content, self._rest = content, memoryview(b"")

    def read(self, size: int) -> bytes:
        """At most `size` bytes; empty at the end."""
        while not self._rest:
            self._rest = memoryview(next(self._content, b""))
            if not self._rest:
                return b""
        taken, self._rest = self._rest[:size], self._rest[size:]
        return bytes(taken)
