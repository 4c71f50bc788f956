"""A discrete-event model of workers, the fair queue and one Redis (simpy).

A worker makes a step of all its rows; a step takes what `StepTimes` says of their number. A free
row asks Redis for the next segment, joins after the step that runs then, and delays all rows by its
prompt. Redis does one step at a time, in the order of arrival; the workers' heartbeats take a part
of its time for themselves. Not in the model: lost workers, Celery, joins, the network's limits.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import ceil
from random import Random

import simpy

from benchmarks.step_times import StepTimes

BEATS_PER_S = 1.0


@dataclass(frozen=True)
class RedisTimes:
    """Seconds of Redis's one core for each kind of step; `benchmarks/ledger.py` measures them.

    `beat_s` is all that one worker's heartbeat asks for, with all of its rows leased; `message_s`
    are Celery's commands for one wake-up.
    """

    admit_s: float
    claim_s: float
    commit_s: float
    beat_s: float
    message_s: float
    # From a worker's question to Redis and back, without the step: libraries and network.
    round_trip_s: float = 0.002


@dataclass
class Job:
    """A job of equal segments; its owner is served in turn with the others."""

    arrives_s: float
    segments: int
    frames: int
    owner: str = ""
    cost: float = 0.0
    waiting: int = field(init=False)
    open: int = field(init=False)
    began_s: float | None = None
    ended_s: float | None = None

    def __post_init__(self) -> None:
        self.waiting = self.open = self.segments


class FairQueue:
    """Segments of jobs: the owner, then the job, that has cost the fewest frames so far is next."""

    def __init__(self) -> None:
        self._owners: list[tuple[float, str]] = []
        self._jobs: dict[str, list[tuple[float, int, Job]]] = {}
        self._clock, self._added = 0.0, 0

    def add(self, job: Job) -> None:
        """Queue a job; a newcomer starts at the cost of those that are served now."""
        jobs = self._jobs.setdefault(job.owner, [])
        if not jobs:
            heapq.heappush(self._owners, (self._clock, job.owner))
        job.cost = jobs[0][0] if jobs else 0.0
        self._added += 1
        heapq.heappush(jobs, (job.cost, self._added, job))

    def take(self) -> Job | None:
        """The job whose segment is next."""
        if not self._owners:
            return None
        self._clock, owner = self._owners[0]
        jobs = self._jobs[owner]
        cost, number, job = jobs[0]
        job.waiting -= 1
        if job.waiting:
            heapq.heapreplace(jobs, (cost + job.frames, number, job))
        else:
            heapq.heappop(jobs)
        if jobs:
            heapq.heapreplace(self._owners, (self._clock + job.frames, owner))
        else:
            heapq.heappop(self._owners)
        return job


class RedisServer:
    """One server in time: a request is answered after all that came before it."""

    def __init__(self, env: simpy.Environment, times: RedisTimes, workers: int) -> None:
        self._env, self.times = env, times
        self.beats_share = workers * BEATS_PER_S * times.beat_s
        self._free_s = self.busy_s = 0.0

    def answers_after_s(self, step_s: float) -> float:
        """Seconds until the answer to a step that is asked for now."""
        # What heartbeats leave of the core; with nothing left, almost nothing gets through.
        took_s = step_s / max(1 - self.beats_share, 1e-3)
        self._free_s = max(self._free_s, self._env.now) + took_s
        self.busy_s += step_s
        return self._free_s - self._env.now + self.times.round_trip_s


class Worker:
    """The rows of one engine. `_index` counts its steps: a row ends at a number of steps."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster, self._env = cluster, cluster.env
        self._rows: list[tuple[float, int, Job]] = []
        self._joining: deque[Job] = deque()
        self._index, self._at_s = 0, 0.0  # the steps that were over at the last change, and when
        self._event = 0
        self.frames = 0.0

    def receive(self, job: Job) -> None:
        """A claimed segment, which joins after the step that runs now."""
        self._joining.append(job)
        if len(self._joining) == 1:
            self._plan()

    def _plan(self) -> None:
        """Plan the next change of the rows: one joins, or ends."""
        self._event += 1
        due_s = self._next_s()
        if due_s is not None:
            after_s = max(0.0, due_s - self._env.now)
            event, timeout = self._event, self._env.timeout(after_s)
            assert timeout.callbacks is not None
            timeout.callbacks.append(lambda _: self._change(event))

    def _next_s(self) -> float | None:
        if not self._rows:
            return self._env.now if self._joining else None
        step_s = self._cluster.step_s[len(self._rows)]
        left = self._rows[0][0] - self._index
        if self._joining:
            # Rounding must not put the end of the present step before now.
            steps_by_now = (self._env.now - self._at_s) / step_s
            left = min(left, max(1, ceil(steps_by_now - 1e-6)))
        return self._at_s + left * step_s

    def _change(self, event: int) -> None:
        """Move on to now, end the rows that are over, and let one join."""
        if event != self._event:
            return
        now_s = self._env.now
        if self._rows:
            steps = round((now_s - self._at_s) / self._cluster.step_s[len(self._rows)])
            self._index += steps
            self.frames += steps * len(self._rows)
        self._at_s = now_s
        while self._rows and self._rows[0][0] <= self._index:
            self._cluster.end(self, heapq.heappop(self._rows)[2])
        # Alone, an engine reads all prompts that wait; beside others, one between two steps.
        is_alone = not self._rows
        while self._joining:
            self._join(self._joining.popleft())
            if not is_alone:
                break
        self._plan()

    def _join(self, job: Job) -> None:
        self._at_s += self._cluster.prefill_s
        if job.began_s is None:
            job.began_s = self._at_s
        self._cluster.joined += 1
        heapq.heappush(self._rows, (self._index + job.frames, self._cluster.joined, job))

    def frames_by_now(self) -> float:
        """Frames so far, those of the steps since the last change among them."""
        if not self._rows:
            return self.frames
        step_s = self._cluster.step_s[len(self._rows)]
        return self.frames + len(self._rows) * max(0.0, self._env.now - self._at_s) / step_s


class Cluster:
    """Workers on one ledger, and the jobs that arrive."""

    def __init__(self, workers: int, slots: int, times: StepTimes, redis: RedisTimes) -> None:
        self.env = simpy.Environment()
        self.redis = RedisServer(self.env, redis, workers)
        self.queue = FairQueue()
        self.prefill_s = times.prefill_s
        self.step_s = [0.0, *(times.step_s(rows) for rows in range(1, slots + 1))]
        self.joined = 0
        self.ended: list[Job] = []
        self.workers = [Worker(self) for _ in range(workers)]
        # Free rows, the longest waiting first.
        self._idle = deque(worker for _ in range(slots) for worker in self.workers)

    def run(self, jobs: Iterable[Job], until_s: float) -> None:
        """Let jobs arrive and be spoken until `until_s`."""
        self.env.process(self._arrivals(jobs))
        self.env.run(until=until_s)

    @property
    def frames(self) -> float:
        """Frames that all workers have made."""
        return sum(worker.frames_by_now() for worker in self.workers)

    def _arrivals(self, jobs: Iterable[Job]) -> simpy.events.ProcessGenerator:
        for job in jobs:
            if job.arrives_s > self.env.now:
                yield self.env.timeout(job.arrives_s - self.env.now)
            steps = ceil(job.segments / 100)
            after_s = self.redis.answers_after_s(steps * self.redis.times.admit_s)
            self._after(after_s, self._admitted, job)

    def _after(self, after_s: float, call: object, *arguments: object) -> None:
        timeout = self.env.timeout(after_s)
        assert timeout.callbacks is not None
        timeout.callbacks.append(lambda _: call(*arguments))  # type: ignore[operator]  # as simpy has it

    def _admitted(self, job: Job) -> None:
        self.queue.add(job)
        for _ in range(min(job.segments, len(self._idle))):
            self._claim(self._idle.popleft())

    def _claim(self, worker: Worker) -> None:
        after_s = self.redis.answers_after_s(self.redis.times.message_s + self.redis.times.claim_s)
        self._after(after_s, self._claimed, worker)

    def _claimed(self, worker: Worker) -> None:
        job = self.queue.take()
        if job is None:
            self._idle.append(worker)
        else:
            worker.receive(job)

    def end(self, worker: Worker, job: Job) -> None:
        """A segment of a job is spoken: it is committed, and its row asks for the next one."""
        after_s = self.redis.answers_after_s(self.redis.times.commit_s)
        self._after(after_s, self._committed, job)
        self._claim(worker)

    def _committed(self, job: Job) -> None:
        job.open -= 1
        if not job.open:
            job.ended_s = self.env.now
            self.ended.append(job)


def poisson(jobs_per_s: float, segments: int, frames: int, until_s: float) -> Iterator[Job]:
    """Jobs at random times; half to one and a half times as many segments, of as many frames."""
    random, at_s = Random(1), 0.0
    while (at_s := at_s + random.expovariate(jobs_per_s)) < until_s:
        size = max(1, round(segments * random.uniform(0.5, 1.5)))
        length = max(1, round(frames * random.uniform(0.5, 1.5)))
        yield Job(at_s, size, length, owner=f"owner{random.randrange(20)}")


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which a share of all values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, ceil(share * len(ordered)) - 1)]
