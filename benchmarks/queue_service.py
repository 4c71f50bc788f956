"""One side of the comparison as real processes: an API, and a worker whose speech costs nothing."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

import httpx

from client.local.ports import free_port
from client.local.process import Child, stop
from client.local.redis_server import RedisServer

ROOT = Path(__file__).resolve().parents[1]
API = {
    "ours": ["-m", "api", "--port"],
    "plain": ["-m", "uvicorn", "benchmarks.queue_plain:api", "--no-access-log", "--port"],
}
TEXT = "A sentence, and not a long one."
WITHIN_S = 300


class Service:
    """`side` is ours or plain; each has a Redis of its own in `folder`."""

    def __init__(self, side: str, folder: Path) -> None:
        self._side, self._folder = side, folder
        self._port = free_port()
        self._stats = folder / "stats.json"
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{self._port}", timeout=30)

    def __enter__(self) -> Self:
        with ExitStack() as started:
            (self._folder / "results").mkdir(parents=True)
            redis = started.enter_context(
                RedisServer(self._folder / "redis", log=self._log("redis"))
            )
            self._env = {
                **os.environ,
                "TTS_REDIS_URL": redis.url,
                "RESULTS": str(self._folder / "results"),
                "TTS_STORAGE_URL": (self._folder / "results").as_uri(),
                "STATS": str(self._stats),
                "TTS_MAX_OPEN_JOBS": "1000000",
                "PYTHONPATH": str(ROOT),
            }
            self._start(started, "api", [*API[self._side], str(self._port)])
            self._worker = self._start(
                started, "worker", ["-m", "benchmarks.queue_worker", self._side]
            )
            started.callback(self._http.close)
            wait_for(self._works)
            self._stop = started.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.close()

    def _log(self, name: str) -> Path:
        return self._folder / f"{name}.log"

    def _start(self, started: ExitStack, name: str, arguments: list[str]) -> Child:
        child = Child(name, [sys.executable, *arguments], env=self._env, log=self._log(name))
        started.callback(stop, [child], 10)
        return child

    def _works(self) -> bool:
        """Whether a job can be sent, which needs the worker to have said what it serves."""
        try:
            return self._http.post("/v1/jobs", json=_body(TEXT)).status_code == 202
        except httpx.TransportError:
            return False

    @property
    def url(self) -> str:
        """Where the API is."""
        return str(self._http.base_url)

    def spent(self) -> dict[str, float]:
        """CPU seconds and round trips of the worker so far."""
        time.sleep(0.2)  # its notes are as old as that
        found: dict[str, float] = json.loads(self._stats.read_text())
        return found

    def submit(self, text: str = TEXT) -> str:
        """Send a job and return its id."""
        answer = self._http.post("/v1/jobs", json=_body(text)).raise_for_status()
        return str(answer.json()["id"])

    def is_completed(self, job_id: str) -> bool:
        """Ask after a job."""
        answer = self._http.get(f"/v1/jobs/{job_id}").raise_for_status()
        return bool(answer.json()["status"] == "completed")

    def wait(self, jobs: Sequence[str], *, every_s: float) -> None:
        """Wait until all are completed; asks for the last one mostly, since that ends late."""
        for job_id in reversed(jobs):
            wait_for(lambda job_id=job_id: self.is_completed(job_id), every_s)

    @contextmanager
    def worker_stopped(self) -> Iterator[None]:
        """Jobs pile up."""
        os.kill(self._worker.pid, signal.SIGSTOP)
        yield
        os.kill(self._worker.pid, signal.SIGCONT)


def _body(text: str) -> dict[str, Any]:
    return {"task": "custom_voice", "voice": "vivian", "input": text}


def wait_for(condition: Callable[[], bool], every_s: float = 0.1) -> None:
    """Return when the condition holds."""
    until_s = time.monotonic() + WITHIN_S
    while not condition():
        if time.monotonic() > until_s:
            raise TimeoutError(f"not within {WITHIN_S} s")
        time.sleep(every_s)


def at_once(
    call: Callable[[Any], Any], things: Sequence[Any], senders: int
) -> tuple[list[Any], float]:
    """Call for each thing from some threads; returns the results and seconds."""
    began_s = time.perf_counter()
    with ThreadPoolExecutor(senders) as pool:
        results = list(pool.map(call, things))
    return results, time.perf_counter() - began_s
