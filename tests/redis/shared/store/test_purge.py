"""Purging a model's queue: it cancels what nothing was begun of, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from redis import Redis

from shared.errors import JobNotFound
from shared.jobs import SegmentResult, SpeechSpec, Status
from shared.storage import Storage
from shared.store.ledger import Ledger
from shared.store.purge import purge
from shared.store.repairs import Repairs
from tests.support.claims import claim
from tests.support.ledger_state import LedgerState
from tests.support.plain_segments import plain

MODEL = "tiny-CustomVoice"
Begin = Callable[[Ledger, Storage, Redis], None]


def claimed(ledger: Ledger, _storage: Storage, _redis: Redis) -> None:
    claim(ledger, "j:0")


def handed_back(ledger: Ledger, _storage: Storage, _redis: Redis) -> None:
    ledger.release(claim(ledger, "j:0"))


def spoken_in_part(ledger: Ledger, _storage: Storage, _redis: Redis) -> None:
    ledger.commit(claim(ledger, "j:0"), SegmentResult(key="one", samples=24_000))


def retried(ledger: Ledger, storage: Storage, redis: Redis) -> None:
    storage.put("one", b"RIFF")
    spoken_in_part(ledger, storage, redis)
    ledger.fail(claim(ledger, "j:1"), "synthesis_failed", "ValueError: poisoned")
    Repairs(redis, max_attempts=3).retry(ledger.job("j"), storage)


@pytest.mark.parametrize("begin", [claimed, handed_back, spoken_in_part, retried])
def test_what_was_begun_goes_on(
    begin: Begin, ledger: Ledger, spec: SpeechSpec, storage: Storage, redis: Redis
) -> None:
    ledger.admit("j", spec, plain(["one", "two", "three"]))
    begin(ledger, storage, redis)
    ledger.admit("waiting", spec, plain(["four"]))
    before = ledger.job("j").status
    assert not ledger.cancel_unbegun("j")
    assert purge(redis, ledger, MODEL, limit=10) == (1, 0)
    assert ledger.job("j").status == before
    assert ledger.job("waiting").status == Status.CANCELLED
    assert not ledger.cancel_unbegun("waiting")  # it has ended
    with pytest.raises(JobNotFound):
        ledger.cancel_unbegun("none")
    LedgerState.read(redis).check()


def test_a_job_that_is_begun_while_others_are_purged_goes_on(
    ledger: Ledger, spec: SpeechSpec, redis: Redis
) -> None:
    for number in range(200):
        ledger.admit(f"j{number}", spec, plain(["one"]))

    def begin_some() -> list[str]:
        held = [ledger.claim(MODEL) for _ in range(40)]
        return [each.job_id for each in held if each is not None]

    with ThreadPoolExecutor() as pool:
        begun = pool.submit(begin_some)
        done = purge(redis, ledger, MODEL, limit=500)
    assert {ledger.job(each).status for each in begun.result()} <= {Status.IN_PROGRESS}
    assert done.cancelled == 200 - len(begun.result())
    LedgerState.read(redis).check()
