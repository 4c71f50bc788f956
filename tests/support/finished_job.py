"""Jobs brought to their end without a model."""

from __future__ import annotations

from redis import Redis

from shared.jobs import SegmentResult
from shared.settings import Settings
from shared.storage import Storage
from shared.store.ledger import Ledger
from tests.support.audio_files import recording
from worker.join import join_job


def finish(job_id: str, redis: Redis, settings: Settings) -> None:
    """Speak a job with a second of sound for each segment, and join it as a worker does."""
    ledger = Ledger(redis, lease_s=10, max_attempts=3)
    storage = Storage.open(settings.storage_url)
    wav = recording(1.0)
    claim = ledger.claim("tiny-CustomVoice")
    while claim is not None and not claim.is_join:
        result = SegmentResult(key="k", samples=24_000)
        claim = ledger.commit(claim, result) or ledger.claim("tiny-CustomVoice")
    assert claim is not None
    job = ledger.job(job_id)

    def read(key: str) -> bytes:
        return storage.get(key) if key == job.outline.cover else wav

    joined = join_job(job, list(ledger.spoken(job)), claim.epoch, storage, read)
    done = SegmentResult(key=joined.key, samples=joined.samples)
    ledger.commit(claim, done, size_bytes=joined.size_bytes)
