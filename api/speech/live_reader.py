"""Live reading of a job's PCM: from the streams of its segments, else from their files."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar, cast

import numpy as np
from prometheus_client import Histogram
from redis.asyncio import Redis
from redis.exceptions import RedisError
from starlette.concurrency import run_in_threadpool

from api.http.limited_threads import LimitedThreads
from shared.audio.fades import EMPTY_PCM, StreamingFade, pause_samples
from shared.audio.wav import Pcm, decode_wav
from shared.errors import JobNotReady, SynthesisFailed, Unavailable
from shared.jobs import TERMINAL, Job, SegmentState, Status, segment_id
from shared.speech_model import SAMPLE_RATE
from shared.storage import Storage
from shared.store import keys
from shared.store.ledger import Ledger
from shared.store.live_audio import LiveChunk

# Seconds to wait for samples before the segment's state is read, and for Redis to come back.
POLL_S = 1.0
# Entries of 0.3 s per read: the others stay in Redis, not in this process's memory.
MAX_ENTRIES_PER_READ = 16
FIRST_SOUND_SECONDS = Histogram(
    "tts_first_sound_seconds",
    "Time from the admission of speech at once to the first samples of it here",
    ["model"],
    buckets=(0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30, 60, 300),
)
T = TypeVar("T")
_Entry = tuple[bytes, dict[bytes, bytes]]
_log = logging.getLogger(__name__)


@dataclass
class LivePcmReader:
    """Reads a job once: sample for sample what its stored WAV has or will have.

    A segment is read from its stream while it is synthesised, and from its file once it is
    committed; the remainder of a completed job comes from its WAV. So samples that a stream has
    lost are not missed. `sent` samples were returned so far, `silent` of them in pauses.
    """

    job: Job
    redis: Redis
    ledger: Ledger
    storage: Storage
    storage_threads: LimitedThreads = field(default_factory=LimitedThreads.for_storage)
    sent: int = 0
    silent: int = 0

    async def pcm(self) -> AsyncIterator[Pcm]:
        """Yield the samples, in pieces of 1 s at most.

        Raises `SynthesisFailed`, `JobNotReady` if the job is cancelled, and `JobNotFound`. Retries
        while Redis or the storage is away.
        """
        begun_s = time.perf_counter()
        async for pcm in self._all():
            if self.sent == 0 and len(pcm) and self.job.status not in TERMINAL:
                FIRST_SOUND_SECONDS.labels(self.job.spec.model).observe(
                    time.perf_counter() - begun_s
                )
            for first in range(0, len(pcm), SAMPLE_RATE):
                piece = pcm[first : first + SAMPLE_RATE]
                self.sent += len(piece)
                yield piece

    async def _all(self) -> AsyncIterator[Pcm]:
        for index in range(self.job.total):
            state = await self._state(index)
            pause = pause_samples(state.pause_s)
            is_last = index == self.job.total - 1 and not pause
            fade = StreamingFade(start=index > 0, end=not is_last)
            stream = _SegmentStream(self.redis, segment_id(self.job.id, index))
            while not stream.is_whole:
                if state.result_key is not None:
                    # The whole job is stored: only the samples not sent yet are left.
                    spoken = await _retry_while_unavailable(
                        lambda: list(self.ledger.spoken(self.job))
                    )
                    self.silent = sum(pause_samples(segment.pause_s) for segment in spoken)
                    yield (await self._stored(state.result_key))[self.sent :]
                    return
                if state.key is not None:
                    yield fade.add(stream.rest(await self._stored(state.key)))
                elif len(pcm := await stream.read_new()):
                    yield fade.add(pcm)
                else:
                    state = await self._state(index)
            yield fade.close()
            yield np.zeros(pause, np.int16)
            self.silent += pause

    async def _state(self, index: int) -> SegmentState:
        state = await _retry_while_unavailable(lambda: self.ledger.segment(self.job.id, index))
        if state.job_status == Status.FAILED:
            code = state.error_code or SynthesisFailed.code
            raise SynthesisFailed(f"the job failed: {state.error_message}", code)
        if state.job_status == Status.CANCELLED:
            raise JobNotReady("the job is cancelled: there is no audio")
        return state

    async def _stored(self, key: str) -> Pcm:
        run = self.storage_threads.run
        return await _retry_while_unavailable(lambda: decode_wav(self.storage.get(key)), run)


class _SegmentStream:
    """The stream of one segment, over all attempts at it; `_at` samples of it were returned."""

    def __init__(self, redis: Redis, segment: str) -> None:
        self._redis, self._key = redis, keys.live_audio(segment)
        self._last: bytes = b"0"
        self._epoch = self._at = 0
        self.is_whole = False

    async def read_new(self) -> Pcm:
        """The next samples; empty if none came within `POLL_S`, or if they leave a gap."""
        block_ms = int(POLL_S * 1_000)
        try:
            found = await self._redis.xread({self._key: self._last}, MAX_ENTRIES_PER_READ, block_ms)
            streams = cast(list[tuple[bytes, list[_Entry]]], found)
        except RedisError as error:
            await _wait(error)
            return EMPTY_PCM
        pieces = [EMPTY_PCM]
        for _key, entries in streams:
            for self._last, fields in entries:
                pieces.append(self._follow(LiveChunk.of(fields)))
        return np.concatenate(pieces)

    def _follow(self, chunk: LiveChunk) -> Pcm:
        """The samples of an entry that were not returned before.

        A new attempt starts again at 0 and repeats the same samples: after 7,200 samples, its entry
        [0, 7200) gives none and [7200, 14400) gives all. An entry after a gap, or of an attempt
        that lost its claim, gives none.
        """
        if chunk.epoch < self._epoch or chunk.at > self._at:
            return EMPTY_PCM
        self._epoch = chunk.epoch
        self.is_whole |= chunk.is_end
        return self._new(chunk.at, chunk.pcm)

    def rest(self, pcm: Pcm) -> Pcm:
        """The samples of the stored segment that were not returned before."""
        self.is_whole = True
        return self._new(0, pcm)

    def _new(self, at: int, pcm: Pcm) -> Pcm:
        new = pcm[self._at - at :]
        self._at += len(new)
        return new


async def _retry_while_unavailable(
    call: Callable[[], T],
    run: Callable[[Callable[[], T]], Awaitable[T]] = run_in_threadpool,
) -> T:
    """The result of a call, made in a thread and retried while Redis or the storage is away."""
    while True:
        try:
            return await run(call)
        except Unavailable as error:
            await _wait(error)


async def _wait(error: Exception) -> None:
    _log.warning("Live audio waits: %s", error)
    await asyncio.sleep(POLL_S)
