"""Fault 22: Redis's clock is set back by an hour, by libfaketime, while workers die."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.faults.service import wait_for
from tests.faults.trial import SHORT, Trial, long_text, times

TEXT = long_text(8)
LEASE_S = 6.0


@pytest.mark.service(fakes_time=True, TTS_LEASE_S=str(LEASE_S))
def test_the_clock_of_redis_is_set_back(trial: Trial) -> None:
    service, clock = trial.service, trial.service.folder / "clock"
    with trial.row("22 Redis's clock back by 1 h while a worker dies") as row:
        whole = trial.undisturbed(TEXT)[TEXT]
        for number in range(times(5, 1)):
            job = trial.submit(TEXT)
            pid, held = trial.busy_worker()
            before = service.redis.time()[0]
            clock.write_text(f"-{number + 1}h")
            wait_for(lambda before=before: service.redis.time()[0] < before - 3_000, 10)
            os.kill(pid, signal.SIGKILL)
            began_s = time.monotonic()
            jobs = [job, trial.submit(SHORT)]  # accepted by the new clock, too
            wait_for(lambda held=held: service.begun_again(held), 60)
            row.recovered(time.monotonic() - began_s)
            trial.wait(jobs)
            assert trial.sound(job) == whole
        # Two leases, and the pauses of those who reconcile.
        assert row.figures()["recovery_p99_s"] <= 2 * LEASE_S + 5
