"""A whole service on this machine: Redis, one API, and workers, started and stopped together."""

import os
import secrets
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Self

from client.errors import NarrateError, StartFailed
from client.local.child import Child, stop
from client.local.data_folder import REDIS_URL, RESULTS, FolderLock, make_private, write_private
from client.local.keeper import Keeper
from client.local.ports import check_port, free_port
from client.local.redis_server import RedisServer
from client.narrator import Narrator

WORKER_STOP_S = 40.0  # A worker finishes the segments in its batch.
API_STOP_S = 10.0
POLL_S = 0.2
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}


def api_command(host: str, port: int) -> list[str]:
    """Return the command of the API."""
    return [sys.executable, "-m", "api", "--host", host, "--port", str(port)]


def worker_command(model: str) -> list[str]:
    """Return the command of a worker for one model."""
    return [sys.executable, "-m", "worker", "--model", model]


class Stack:
    """Redis, one API and `workers` workers for each model, as children of this process.

    Everything they keep lies in `data`; port 0 means any free one. Their output goes to our
    terminal or, with `logs_to_files`, to `data/logs`; Redis always writes there. As a context
    manager it is started, though not yet ready, inside the `with`, and stopped after it. Start it
    from a thread that lives as long as it does, since the children die with that thread.
    """

    def __init__(
        self,
        models: Sequence[str],
        *,
        data: Path,
        host: str = "127.0.0.1",
        port: int = 8000,
        workers: int = 1,
        logs_to_files: bool = False,
    ) -> None:
        self.models = list(dict.fromkeys(models))
        self.data, self.host, self.port = data.resolve(), host, port
        self.workers = workers
        self.logs = self.data / "logs"
        self._logs_to_files = logs_to_files
        self._lock: FolderLock | None = None
        self._redis: RedisServer | None = None
        self._redis_keeper: Keeper | None = None
        self._api_keeper: Keeper | None = None
        self._keepers: list[Keeper] = []

    @property
    def url(self) -> str:
        """Where clients on this machine find the API."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{ANY_ADDRESS.get(self.host, host)}:{self.port}"

    def start(self) -> None:
        """Start everything; StartFailed, and nothing left running, where that is impossible."""
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
        self._redis_keeper = Keeper(self._redis.launch, self._redis.child)
        write_private(self.data / REDIS_URL, self._redis.url)
        command = api_command(self.host, self.port)
        self._api_keeper = Keeper(partial(self._child, "the API", "api", command))
        for model in self.models:
            for number in range(1, self.workers + 1):
                name = f"worker {number} of {model}" if self.workers > 1 else f"worker of {model}"
                log = f"worker-{Path(model).name}-{number}"
                start = partial(self._child, name, log, worker_command(model))
                self._keepers.append(Keeper(start))

    def _child(self, name: str, log: str, command: list[str]) -> Child:
        assert self._redis
        env = {
            **self._share_of_the_cpus(),
            **os.environ,
            "TTS_REDIS_URL": self._redis.url,
            "TTS_STORAGE_URL": (self.data / RESULTS).as_uri(),
            # Else `python -m api` would prefer a folder called `api` where the user happens to be.
            "PYTHONSAFEPATH": "1",
        }
        path = self.logs / f"{log}.log" if self._logs_to_files else None
        return Child(name, command, env=env, log=path)

    def _share_of_the_cpus(self) -> dict[str, str]:
        """Alone, a worker takes all cores, as it does by default; several share them.

        A tiny model has less to do in a step than threads take to meet.
        """
        if os.environ.get("THREADS"):
            return {}  # The name of TTS_THREADS in the version before.
        if all(Path(model).name.startswith("tiny") for model in self.models):
            return {"TTS_THREADS": "1"}
        workers = len(self.models) * self.workers
        cpus = os.cpu_count() or 1
        return {"TTS_THREADS": str(max(1, cpus // workers))} if workers > 1 else {}

    def check(self) -> None:
        """Raise ChildExited if any process has ended."""
        for child in self._children():
            child.check()

    def tend(self) -> list[NarrateError]:
        """Start anew what has ended, at the port and with the data of before.

        Returns what has ended since the last call, and what could not be started again.
        """
        keepers = [keeper for keeper in (self._redis_keeper, self._api_keeper) if keeper]
        return [error for keeper in (*keepers, *self._keepers) if (error := keeper.tend())]

    def ready(self) -> bool:
        """True if the API answers and every worker has its model."""
        try:
            with Narrator(self.url, timeout_s=2.0) as narrator:
                live = narrator.live_workers()
        except NarrateError as error:
            if error.transient:
                return False
            raise  # Waiting does not repair an API of ours that answers nonsense.
        return live >= len(self._workers)

    def wait_ready(self, timeout_s: float | None = None) -> None:
        """Return when ready; a first start may download the models, so no limit is the default.

        Raises ChildExited as soon as any process has ended.
        """
        deadline = time.monotonic() + timeout_s if timeout_s is not None else None
        while not self._check_ready():
            if deadline is not None and time.monotonic() > deadline:
                raise StartFailed(f"not ready within {timeout_s:g} s: see {self.logs}")
            time.sleep(POLL_S)

    def _check_ready(self) -> bool:
        self.check()
        return self.ready()

    def kill(self) -> None:
        """Kill every process at once; `stop` afterwards has little left to do."""
        for child in self._children():
            child.kill()

    def stop(self) -> None:
        """Stop workers, then the API, then Redis, so that each finds what it needs to finish."""
        stop(self._workers, WORKER_STOP_S)
        self._keepers = []
        if self._api:
            stop([self._api], API_STOP_S)
            self._api_keeper = None
        if self._redis:
            (self.data / REDIS_URL).unlink(missing_ok=True)
            self._redis.stop()
            self._redis = self._redis_keeper = None
        if self._lock:
            self._lock.release()
            self._lock = None

    @property
    def _api(self) -> Child | None:
        return self._api_keeper.child if self._api_keeper else None

    @property
    def _workers(self) -> list[Child]:
        return [keeper.child for keeper in self._keepers]

    def _children(self) -> Iterator[Child | RedisServer]:
        yield from (part for part in (self._redis, self._api) if part)
        yield from self._workers

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()
