import time
from pathlib import Path

import pytest
from redis import Redis

from shared import background
from shared.jobs import SegmentResult, SpeechSpec
from shared.storage import Storage
from shared.storage_paths import job_folder, segments_folder
from shared.store.ledger import Ledger
from shared.store.voices import Voices
from tests.support.plain_segments import plain
from tests.support.processes import wait_until
from worker import cleaner
from worker.cleaner import REMOVAL_GRACE_S, Cleaner


def finish(ledger: Ledger, storage: Storage, spec: SpeechSpec, job_id: str) -> None:
    """Have a job of one segment spoken and joined, with files where a worker puts them."""
    ledger.admit(job_id, spec, plain(["one"]))
    claim = ledger.claim(spec.model)
    while claim is not None:
        folder = job_folder(job_id) if claim.is_join else segments_folder(job_id)
        key = f"{folder}/{claim.epoch}.wav"
        storage.put(key, b"sound")
        claim = ledger.commit(claim, SegmentResult(key=key, samples=1))


def old_and_young(ledger: Ledger, spec: SpeechSpec, folder: Path) -> Storage:
    """A storage with the files of two jobs that have ended."""
    storage = Storage.open(folder.as_uri())
    for name in ("old", "young"):
        finish(ledger, storage, spec, name)
    return storage


def test_what_has_expired_goes_with_its_files(
    ledger: Ledger, spec: SpeechSpec, redis: Redis, tmp_path: Path
) -> None:
    storage = old_and_young(ledger, spec, tmp_path / "results")
    redis.zadd("tts:ended", {"old": time.time() - 100})
    expiry = Cleaner(ledger=ledger, voices=Voices(redis), storage=storage, ttl_s=50)
    assert expiry.sweep() == 1
    redis.zadd("tts:forgotten", {"old": time.time() - REMOVAL_GRACE_S - 1})
    assert expiry.sweep() == 0
    left = [path.parts for path in (tmp_path / "results").rglob("*.wav")]
    assert left
    assert all("young" in parts for parts in left)
    assert redis.keys("tts:*old*") == []


def test_segments_stay_until_no_redis_could_have_them_joined_again(
    ledger: Ledger, spec: SpeechSpec, redis: Redis, tmp_path: Path
) -> None:
    storage = old_and_young(ledger, spec, tmp_path / "results")
    redis.zadd("tts:leftovers", {"old": time.time() - REMOVAL_GRACE_S - 1})
    expiry = Cleaner(ledger=ledger, voices=Voices(redis), storage=storage, ttl_s=1_000)
    assert expiry.sweep() == 1
    assert expiry.sweep() == 0
    results = tmp_path / "results"
    assert (results / segments_folder("young")).exists()
    assert not (results / segments_folder("old")).exists()
    assert len(list((results / job_folder("old")).rglob("*.wav"))) == 1


def test_a_sweep_that_fails_is_followed_by_another(
    ledger: Ledger, redis: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleaner, "SWEEP_INTERVAL_S", 0.05)
    monkeypatch.setattr(background, "FIRST_BACKOFF_S", 0.01)
    storage = Storage.open(tmp_path.as_uri())
    expiry = Cleaner(ledger=ledger, voices=Voices(redis), storage=storage, ttl_s=50)
    sweeps: list[None] = []

    def sweep() -> int:
        sweeps.append(None)
        if len(sweeps) < 3:
            raise KeyError("a job of another version")
        return 0

    monkeypatch.setattr(expiry, "sweep", sweep)
    expiry.start()
    wait_until(lambda: len(sweeps) > 4)
    wait_until(lambda: expiry.problem is None)
    expiry.stop()
