"""Pages of jobs of some statuses."""

from __future__ import annotations

import pytest
from redis import Redis

from shared.jobs import SpeechSpec, Status
from shared.store.job_list import PAGE_SIZE, JobList
from shared.store.ledger import Ledger
from tests.support.claims import claim
from tests.support.plain_segments import plain


@pytest.fixture
def jobs(redis: Redis) -> JobList:
    return JobList(redis)


def listed(jobs: JobList, *statuses: Status) -> list[str]:
    page = jobs.page(None, limit=10, statuses=statuses)
    return [job.id for job in page.jobs]


def test_jobs_of_other_statuses_are_left_out(
    ledger: Ledger, spec: SpeechSpec, redis: Redis, jobs: JobList
) -> None:
    ledger.admit("failed", spec, plain(["one"]))
    ledger.fail(claim(ledger, "failed:0"), "synthesis_failed", "ValueError: poisoned")
    ledger.admit("begun", spec, plain(["one"]))
    claim(ledger, "begun:0")
    for name in ("cancelled", "waiting"):
        ledger.admit(name, spec, plain(["one"]))
    ledger.cancel("cancelled")
    assert listed(jobs) == ["waiting", "cancelled", "begun", "failed"]
    assert listed(jobs, Status.FAILED) == ["failed"]
    assert listed(jobs, Status.QUEUED, Status.CANCELLED) == ["waiting", "cancelled"]
    assert listed(jobs, Status.COMPLETED) == []
    # A status of a newer version counts as in progress.
    redis.hset("tts:job:waiting", "status", "resting")
    assert listed(jobs, Status.IN_PROGRESS) == ["waiting", "begun"]
    assert listed(jobs, Status.FAILED) == ["failed"]


@pytest.mark.parametrize("newest_first", [True, False])
def test_one_job_is_found_among_several_pages_of_others(
    newest_first: bool, ledger: Ledger, spec: SpeechSpec, jobs: JobList
) -> None:
    wanted = PAGE_SIZE // 2
    for number in range(PAGE_SIZE + 50):
        ledger.admit(f"j{number}", spec, plain(["one"]))
        if number == wanted:
            ledger.cancel(f"j{number}")
    page = jobs.page(None, limit=1, statuses=[Status.CANCELLED], newest_first=newest_first)
    assert [job.id for job in page.jobs] == [page.last_id] == [f"j{wanted}"]
    assert page.has_more
    rest = jobs.page(
        None, limit=1, statuses=[Status.CANCELLED], newest_first=newest_first, after=page.last_id
    )
    assert (rest.jobs, rest.has_more) == ([], False)
