"""Worker processes on one Redis with more segments than they can speak, and what they do."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random
from typing import Any, Self

from benchmarks.sleeping_engine import CARD
from benchmarks.step_times import StepTimes
from client.local.redis_server import RedisServer
from shared.document import Segment
from shared.durations import expected_frames
from shared.jobs import SpeechSpec
from shared.settings import Settings
from shared.store import keys
from shared.store.connection import connect
from shared.store.ledger import Ledger

FORKS = multiprocessing.get_context("forkserver")
ROOT = Path(__file__).resolve().parents[1]
OWNERS, JOBS, SEGMENTS = 20, 400, 100
LETTERS = (40, 120)  # 34 to 100 frames, 2.7 to 8 s
WITHIN_S, STOP_S = 180, 15
SPEC = SpeechSpec(task=CARD.task, model=CARD.id, voice="vivian")


@dataclass(frozen=True)
class Snapshot:
    """Counters at one moment: of Redis, and of each worker by its own notes."""

    at_s: float
    committed: int
    redis_cpu_s: float
    steps: dict[str, tuple[int, float]]
    workers: list[dict[str, float]]
    connections: int


def notes_of(folder: Path, number: int) -> Path:
    """The file of a worker's notes."""
    return folder / f"worker-{number}.json"


def _serve(notes: Path, times: StepTimes, settings: Settings) -> None:
    # Imported by the server of forks, and not by the process that measures.
    from benchmarks.scaling_worker import serve

    serve(notes, times, settings)


class Cluster:
    """A Redis, a growing number of workers, and a ledger full of segments unless `is_empty`."""

    def __init__(
        self, folder: Path, slots: int, times: StepTimes, *, is_empty: bool = False
    ) -> None:
        self._folder, self._slots, self._times = folder, slots, times
        self._is_empty = is_empty
        self._redis = RedisServer(folder / "redis", log=folder / "redis.log")
        self._workers: list[BaseProcess] = []
        self.mean_frames = 0.0

    def __enter__(self) -> Self:
        # The server of forks inherits them, and imports what a worker needs once for all.
        os.environ |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        FORKS.set_forkserver_preload(["benchmarks.scaling_worker"])
        with ExitStack() as started:
            started.enter_context(self._redis)
            self.connection = started.enter_context(connect(self._redis.url))
            started.callback(self._end)
            if not self._is_empty:
                self._fill()
            self._stop = started.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.close()

    def _end(self) -> None:
        for worker in self._workers:
            worker.terminate()
        for worker in self._workers:
            worker.join(STOP_S)
            worker.kill()

    def _fill(self) -> None:
        ledger, random, frames = Ledger(self.connection, lease_s=10, max_attempts=3), Random(1), 0
        for number in range(JOBS):
            texts = ["x" * random.randint(*LETTERS) for _ in range(SEGMENTS)]
            frames += sum(map(expected_frames, texts))
            segments = [Segment(text, 0, len(text)) for text in texts]
            ledger.admit(f"job_{number}", SPEC, segments, owner=f"owner{number % OWNERS}")
        self.mean_frames = frames / (JOBS * SEGMENTS)

    @property
    def redis_url(self) -> str:
        """The URL of its Redis."""
        return self._redis.url

    def start(self, workers: int) -> None:
        """Start workers until there are `workers` of them."""
        while len(self._workers) < workers:
            self._start()

    def grow(self, workers: int) -> None:
        """Start workers until there are `workers`, and return once the rows of each are full."""
        self.start(workers)
        until_s = time.monotonic() + WITHIN_S
        while not all(notes.get("rows", 0) >= self._slots - 1 for notes in self._notes()):
            if time.monotonic() > until_s:
                raise TimeoutError(f"not all rows of {workers} workers are full: {self._folder}")
            time.sleep(0.2)

    def _start(self) -> None:
        settings = Settings.load(
            model=CARD.id,
            redis_url=self._redis.url,
            storage_url=(self._folder / "results").as_uri(),
            slots=self._slots,
            drain_s=1,
        )
        notes = notes_of(self._folder, len(self._workers))
        worker = FORKS.Process(target=_serve, args=(notes, self._times, settings))
        worker.start()
        self._workers.append(worker)

    def _notes(self) -> list[dict[str, float]]:
        paths = [notes_of(self._folder, number) for number in range(len(self._workers))]
        return [json.loads(path.read_text()) if path.exists() else {} for path in paths]

    def snapshot(self) -> Snapshot:
        """The counters now."""
        with self.connection.pipeline(transaction=False) as pipe:
            for number in range(JOBS):
                pipe.hget(keys.job(f"job_{number}"), "completed")
            completed = pipe.execute()
        cpu: dict[str, Any] = self.connection.info("cpu")
        stats: dict[str, Any] = self.connection.info("commandstats")
        clients: dict[str, Any] = self.connection.info("clients")
        return Snapshot(
            at_s=time.monotonic(),
            committed=sum(int(each or 0) for each in completed),
            redis_cpu_s=cpu["used_cpu_user"] + cpu["used_cpu_sys"],
            steps={
                name.removeprefix("cmdstat_"): (each["calls"], each["usec"] / 1e6)
                for name, each in stats.items()
            },
            workers=self._notes(),
            connections=clients["connected_clients"],
        )
