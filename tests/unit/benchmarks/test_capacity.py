import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.capacity import (
    check,
    check_arrivals,
    read_redis,
    read_trace,
    saturated,
    workers_for,
)
from benchmarks.cluster_model import Cluster, FairQueue, Job, RedisTimes, percentile, poisson
from benchmarks.step_times import StepTimes

# Redis answers at once, so that times can be told by hand.
INSTANT = RedisTimes(admit_s=0, claim_s=0, commit_s=0, beat_s=0, message_s=0, round_trip_s=0)
USUAL = RedisTimes(admit_s=0.4e-3, claim_s=0.4e-3, commit_s=0.3e-3, beat_s=0.6e-3, message_s=1e-3)
# A step of one row takes 0.1 s, of two 0.2 s; a prompt 1 s.
TIMES = StepTimes(rows=(1, 2), seconds=(0.1, 0.2), prefill_s=1.0)


def run(jobs: list[Job], workers: int, slots: int, redis: RedisTimes = INSTANT) -> Cluster:
    cluster = Cluster(workers, slots, TIMES, redis)
    cluster.run(jobs, until_s=1_000)
    return cluster


def test_one_row_speaks_one_segment_after_the_other() -> None:
    jobs = [Job(5.0, segments=3, frames=20)]
    assert run(jobs, 1, 1).frames == 60
    assert jobs[0].ended_s == pytest.approx(5 + 3 * (1 + 2))


def test_two_rows_share_the_steps_of_their_number() -> None:
    jobs = [Job(0.0, segments=2, frames=20)]
    run(jobs, 1, 2)
    # Alone, an engine reads both prompts first; then come 20 steps of two rows.
    assert jobs[0].ended_s == pytest.approx(2 + 20 * 0.2)


def test_a_row_joins_after_the_step_that_runs() -> None:
    first, second = Job(0.0, 1, 20), Job(1.55, 1, 5)
    run([first, second], 1, 2)
    # The first has made 6 frames by 1.6 s; the prompt delays it by 1 s; 5 steps of two rows.
    assert second.began_s == pytest.approx(2.6)
    assert second.ended_s == pytest.approx(2.6 + 5 * 0.2)
    assert first.ended_s == pytest.approx(2.6 + 5 * 0.2 + 9 * 0.1)


def test_workers_share_the_segments() -> None:
    jobs = [Job(0.0, segments=4, frames=20)]
    run(jobs, 4, 1)
    assert jobs[0].ended_s == pytest.approx(3)


def test_redis_is_a_single_server() -> None:
    slow = RedisTimes(
        admit_s=0.5, claim_s=1, commit_s=2, beat_s=0.25, message_s=0, round_trip_s=0.01
    )
    jobs = [Job(0.0, segments=2, frames=20)]
    cluster = run(jobs, 2, 1, slow)
    # Two heartbeats take half of its time, so that everything takes twice as long: admitted after
    # 1 s, claims answered after 3 and 5 s. The first commit waits for nothing; the second is asked
    # for while the first row's commit (4 s) and its claim that finds nothing (2 s) are done.
    assert cluster.redis.beats_share == 0.5
    first_end = 3.02 + 3
    assert jobs[0].ended_s == pytest.approx(first_end + 4 + 2 + 4 + 0.01, abs=0.05)


def test_owners_take_turns_by_what_they_have_cost() -> None:
    queue = FairQueue()
    queue.add(Job(0, 100, 10, owner="book"))
    for _ in range(5):
        queue.take()
    queue.add(Job(0, 2, 10, owner="note"))
    taken = [queue.take() for _ in range(4)]
    assert [job.owner for job in taken if job] == ["note", "book", "note", "book"]
    assert FairQueue().take() is None


def test_few_workers_are_found_for_a_goal() -> None:
    jobs = list(poisson(0.5, segments=4, frames=60, until_s=300))
    found = workers_for(jobs, 60, 2, TIMES, USUAL)
    assert found.p95_s <= 60
    assert found.unfinished == 0
    fewer = Cluster(found.workers - 1, 2, TIMES, USUAL)
    again = list(poisson(0.5, segments=4, frames=60, until_s=300))
    fewer.run(again, until_s=3_600)
    assert percentile([(job.ended_s or 9e9) - job.arrives_s for job in again], 0.95) > 60


def test_goal_that_a_job_alone_misses_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.capacity.MAX_WORKERS", 4)
    with pytest.raises(ValueError, match="4 workers have a p95 of 7 s: a job alone may take"):
        workers_for([Job(1.0, 1, 60)], 2, 1, TIMES, USUAL)


def test_throughput_ends_where_redis_does() -> None:
    slow = replace(INSTANT, claim_s=0.05, commit_s=0.05)
    few, share = saturated(2, 1, TIMES, slow, frames=20)
    assert few == pytest.approx(2 / 3.05, rel=0.1)
    assert share < 0.2
    many, full = saturated(100, 1, TIMES, slow, frames=20, seconds=300)
    assert many == pytest.approx(10, rel=0.05)
    assert full == pytest.approx(1, abs=0.05)


def test_trace_is_read_in_the_order_of_arrival(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("arrives_s,segments,frames,owner\n7.5,2,100,b\n1,1,50,a\n")
    found = [(job.arrives_s, job.segments, job.frames, job.owner) for job in read_trace(path)]
    assert found == [(1.0, 1, 50, "a"), (7.5, 2, 100, "b")]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "arrives_s,segments\n1,2\n",
        "arrives_s,segments,frames\n1,0,5\n",
        "arrives_s,segments,frames\n1\n",
    ],
)
def test_bad_trace_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"trace\.csv"):
        read_trace(path)


def test_figures_of_redis_are_read_from_a_run_of_the_ledger(tmp_path: Path) -> None:
    steps = {
        "admit a job of one segment": 0.4,
        "claim": 0.38,
        "commit": 0.25,
        "renew 16 leases": 0.3,
        "sign in": 0.1,
        "reconcile, not due": 0.1,
    }
    path = tmp_path / "ledger.json"
    rows = [{"step": name, "redis_ms": value} for name, value in steps.items()]
    path.write_text(json.dumps({"rows": rows}))
    found = read_redis(path)
    assert (found.claim_s, found.commit_s) == (0.38e-3, 0.25e-3)
    assert found.beat_s == pytest.approx(0.5e-3)


def test_model_is_near_a_real_run() -> None:
    """Figures of `scaling.py --json` on two cores of an AMD EPYC."""
    rows = [{"workers": 1, "segments_per_s": 6.1}, {"workers": 2, "segments_per_s": 12.2}]
    found = {"precision": "int8", "speed": 10, "slots": 16, "mean_frames": 67.08, "rows": rows}
    assert [abs(row["deviation"]) < 0.02 for row in check(found, USUAL)] == [True, True]
    rows[1]["segments_per_s"] = 8.0
    assert check(found, USUAL)[1]["deviation"] > 0.15


def test_model_is_compared_with_the_times_of_real_jobs() -> None:
    jobs = [{"arrives_s": 1.0 + at, "segments": 1, "frames": 50, "owner": "a"} for at in range(9)]
    real = {"workers": 2, "jobs": jobs, "p50_s": 4.5, "p95_s": 9.0}
    found = {"precision": "int8", "speed": 2, "slots": 4, "arrivals": real}
    half, most = check_arrivals(found, USUAL)
    # 50 steps of 47 ms alone and of 76 ms beside three others, with their prompts.
    assert 2.4 < half["simulated"] < 4.2
    assert half["deviation"] == pytest.approx(half["simulated"] / 4.5 - 1)
    assert most["deviation"] < -0.15
