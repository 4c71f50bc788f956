"""A whole service on this machine: Redis, one API, and workers, started and stopped together."""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Self

from client.errors import NarrateError, StartFailed
from client.local.data_folder import (
    REDIS_URL_FILE,
    RESULTS_FOLDER,
    FolderLock,
    make_private,
    write_private,
)
from client.local.ports import check_port, free_port
from client.local.process import Child, RestartingProcess, stop
from client.local.redis_server import RedisServer
from client.narrator import Narrator

WORKER_STOP_TIMEOUT_S = 40.0  # A worker finishes the segments in its batch.
API_STOP_TIMEOUT_S = 10.0
POLL_INTERVAL_S = 0.2
LOOPBACK_OF_WILDCARD = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}


def api_command(host: str, port: int) -> list[str]:
    """The command line of the API."""
    return [sys.executable, "-m", "api", "--host", host, "--port", str(port)]


def worker_command(models: Sequence[str], model_memory: float | None = None) -> list[str]:
    """The command line of a worker."""
    options = [part for model in models for part in ("--model", model)]
    if model_memory is not None:
        options += ["--model-memory", f"{model_memory:g}"]
    return [sys.executable, "-m", "worker", *options]


def _metrics_port(number: int) -> dict[str, str]:
    """The setting of worker `number` from 0: TTS_METRICS_PORT is that of the first one."""
    first = os.environ.get("TTS_METRICS_PORT", "")
    return {"TTS_METRICS_PORT": str(int(first) + number)} if first.isdigit() and int(first) else {}


class Stack:
    """Redis, one API and `workers` workers for each model, as children of this process.

    With `model_memory`, in GiB, each of the `workers` workers serves all models instead, and keeps
    loaded what fits into it. Without a `precision`, TTS_PRECISION decides.

    All their files are in `data`; port 0 is any free port. Their output goes to our terminal or,
    with `logs_to_files`, to `data/logs`; Redis always writes there. The context manager starts
    it, does not wait until it is ready, and stops it. Start it from a thread that lives as long
    as it does: the children die with that thread.
    """

    def __init__(
        self,
        models: Sequence[str],
        *,
        data: Path,
        host: str = "127.0.0.1",
        port: int = 8000,
        workers: int = 1,
        precision: str | None = None,
        model_memory: float | None = None,
        logs_to_files: bool = False,
    ) -> None:
        self.models = list(dict.fromkeys(models))
        self.data, self.host, self.port = data.resolve(), host, port
        self.workers, self.precision = workers, precision
        self.model_memory = model_memory
        self.logs = self.data / "logs"
        self._logs_to_files = logs_to_files
        self._lock: FolderLock | None = None
        self._redis: RedisServer | None = None
        self._restarting_redis: RestartingProcess | None = None
        self._restarting_api: RestartingProcess | None = None
        self._restarting_workers: list[RestartingProcess] = []

    @property
    def url(self) -> str:
        """The URL of the API for clients on this machine."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{LOOPBACK_OF_WILDCARD.get(self.host, host)}:{self.port}"

    @property
    def redis(self) -> RedisServer:
        """The Redis server. Raises AssertionError if the stack does not run."""
        assert self._redis
        return self._redis

    @property
    def api(self) -> Child:
        """The API process. Raises AssertionError if the stack does not run."""
        assert self._restarting_api
        return self._restarting_api.child

    @property
    def worker_children(self) -> list[Child]:
        """The worker processes."""
        return [worker.child for worker in self._restarting_workers]

    def start(self) -> None:
        """Start every process. Raises StartFailed, and leaves none running, if one cannot start."""
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        self._lock = FolderLock(self.data)
        self.port = self.port or free_port(self.host)
        check_port(self.host, self.port)
        make_private(self.data)
        self._redis = RedisServer(
            self.data / "redis",
            password=secrets.token_urlsafe(32),
            log=self.logs / "redis.log",
            keep_open=[self._lock.fd],
        )
        self._redis.start()
        self._restarting_redis = RestartingProcess(self._redis.launch, self._redis.child)
        write_private(self.data / REDIS_URL_FILE, self._redis.url)
        command = api_command(self.host, self.port)
        self._restarting_api = RestartingProcess(partial(self._child, "the API", "api", command))
        for models in self._models_of_workers():
            served = ", ".join(models)
            for number in range(1, self.workers + 1):
                name = f"worker {number} of {served}" if self.workers > 1 else f"worker of {served}"
                log = f"worker-{'+'.join(Path(model).name for model in models)}-{number}"
                command = worker_command(models, self.model_memory)
                metrics = _metrics_port(len(self._restarting_workers))
                start = partial(self._child, name, log, command, **metrics)
                self._restarting_workers.append(RestartingProcess(start))

    def _models_of_workers(self) -> list[list[str]]:
        """The models of each kind of worker."""
        return [[each] for each in self.models] if self.model_memory is None else [self.models]

    def _child(self, name: str, log: str, command: list[str], **more: str) -> Child:
        env = {
            **self._thread_settings(),
            **os.environ,
            **({"TTS_PRECISION": self.precision} if self.precision else {}),
            "TTS_REDIS_URL": self.redis.url,
            "TTS_STORAGE_URL": (self.data / RESULTS_FOLDER).as_uri(),
            # Else `python -m api` would import a folder `api` of the working directory.
            "PYTHONSAFEPATH": "1",
            **more,
        }
        path = self.logs / f"{log}.log" if self._logs_to_files else None
        return Child(name, command, env=env, log=path)

    def _thread_settings(self) -> dict[str, str]:
        """The TTS_THREADS of each worker: the cores divided by the number of workers.

        One worker keeps its default, all cores. Tiny models and the demo voice get one thread:
        their steps are shorter than the synchronisation of two.
        """
        if os.environ.get("THREADS"):
            return {}  # TTS_THREADS by its old name, which is read for this version only.
        names = [Path(model).name.lower() for model in self.models]
        if all(name == "demo" or name.startswith("tiny") for name in names):
            return {"TTS_THREADS": "1"}
        workers = len(self._models_of_workers()) * self.workers
        cpus = os.cpu_count() or 1
        return {"TTS_THREADS": str(max(1, cpus // workers))} if workers > 1 else {}

    def check(self) -> None:
        """Raise ChildExited if any process has ended."""
        for child in self._children():
            child.check()

    def restart_ended(self) -> list[NarrateError]:
        """Restart the processes that have ended, on the same port and data.

        Returns a ChildExited for each end since the last call, a StartFailed for each failed start.
        """
        one_of_each = (self._restarting_redis, self._restarting_api)
        processes = [*filter(None, one_of_each), *self._restarting_workers]
        return [error for process in processes if (error := process.restart_if_ended())]

    def ready(self) -> bool:
        """True if the API answers and every worker has loaded its models."""
        try:
            with Narrator(self.url, timeout_s=2.0) as narrator:
                live = narrator.live_workers()
        except NarrateError as error:
            if error.transient:
                return False
            raise  # A wrong answer of our own API does not go away by waiting.
        return live >= len(self._restarting_workers)

    def wait_ready(self, timeout_s: float | None = None) -> None:
        """Return when ready; without a limit by default, since a first start downloads the models.

        Raises ChildExited as soon as a process has ended, StartFailed after `timeout_s`.
        """
        deadline = time.monotonic() + timeout_s if timeout_s is not None else None
        while True:
            self.check()
            if self.ready():
                return
            if deadline is not None and time.monotonic() > deadline:
                raise StartFailed(f"not ready within {timeout_s:g} s: see {self.logs}")
            time.sleep(POLL_INTERVAL_S)

    def kill(self) -> None:
        """Send SIGKILL to every process; `stop` is still to be called."""
        for child in self._children():
            child.kill()

    def stop(self) -> None:
        """Stop the workers, then the API, then Redis: each needs the next ones to finish."""
        stop(self.worker_children, WORKER_STOP_TIMEOUT_S)
        self._restarting_workers = []
        if self._restarting_api:
            stop([self.api], API_STOP_TIMEOUT_S)
            self._restarting_api = None
        if self._redis:
            (self.data / REDIS_URL_FILE).unlink(missing_ok=True)
            self._redis.stop()
            self._redis = self._restarting_redis = None
        if self._lock:
            self._lock.release()
            self._lock = None

    def _children(self) -> Iterator[Child | RedisServer]:
        if self._redis:
            yield self._redis
        if self._restarting_api:
            yield self.api
        yield from self.worker_children

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()
