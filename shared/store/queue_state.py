"""The state of the queue over all models and owners: segments waiting, in progress, a second."""

from __future__ import annotations

from redis import Redis

from shared.records import Record
from shared.speech_model import SAMPLE_RATE
from shared.store.scripts import Steps


class QueueState(Record):
    """The queue at one moment; its speed is that of the last minute."""

    segments_in_progress: int
    jobs_in_progress: int
    jobs_open: int
    segments_per_s: float
    audio_s_per_s: float
    queued: dict[str, int]

    @classmethod
    def read(cls, redis: Redis) -> QueueState:
        """Read it in one step; raises `Unavailable`."""
        segments, jobs, open_jobs, pace, samples, flat = Steps(redis).run("queue")
        return cls(
            segments_in_progress=segments,
            jobs_in_progress=jobs,
            jobs_open=open_jobs,
            segments_per_s=float(pace),
            audio_s_per_s=float(samples) / SAMPLE_RATE,
            queued=dict(zip(flat[::2], flat[1::2], strict=True)),
        )
