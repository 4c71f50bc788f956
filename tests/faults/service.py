"""The service as real processes that a test may kill, stop and start again."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Self

from redis import Redis

from client.local.ports import free_port
from client.local.process import Child, RestartingProcess, stop
from client.local.redis_server import RedisServer, answers_ping
from client.local.stack import api_command
from shared.models import model_id
from shared.store.connection import connect

MODEL = "tiny-CustomVoice"
DRAIN_S = 1.0
WORKER = Path(__file__).with_name("faulty_worker.py")


class Service:
    """Redis, the API, and workers that are started anew when they end, as containers would be."""

    def __init__(
        self,
        folder: Path,
        *,
        workers: int = 2,
        spared: int = 0,
        appendfsync: str = "everysec",
        fakes_time: bool = False,
        models: tuple[str, ...] = ("tiny",),
        **settings: str,
    ) -> None:
        self.folder, self._appendfsync = folder, appendfsync
        self._count, self._spared = workers, spared
        self.models = models  # of the workers, in turn
        self.faults, self.logs = folder / "faults", folder / "logs"
        self.results = folder / "results"
        for made in (self.faults, self.logs, self.results, folder / "redis"):
            made.mkdir(parents=True)
        self.redis_port, self.api_port = free_port(), free_port()
        self._redis_env = fake_time(folder) if fakes_time else dict(os.environ)
        self.env = {
            **os.environ,
            "TTS_REDIS_URL": f"redis://127.0.0.1:{self.redis_port}/0",
            "TTS_STORAGE_URL": self.results.as_uri(),
            "FAULTS": str(self.faults),
            "TTS_THREADS": "1",
            "TTS_SLOTS": "4",
            "TTS_DRAIN_S": str(DRAIN_S),
            **settings,
        }
        self.keepers: list[RestartingProcess] = []
        self.tending = threading.Event()
        self._tender = threading.Thread(target=self._tend, daemon=True)
        self.redis: Redis = connect(self.env["TTS_REDIS_URL"])

    def __enter__(self) -> Self:
        try:
            self.start_redis()
            self.start_api()
            for index in range(self._count):
                start = partial(self._start_worker, index)
                # Here they end all the time: without a limit none would come back in time.
                self.keepers.append(RestartingProcess(start, max_backoff_s=0.5))
            self.tending.set()
            self._tender.start()
            self.wait_for_workers()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.tending.clear()
        if self._tender.is_alive():
            self._tender.join()
        for child in (*self.workers, self.api, self.redis_child):
            if child.exit_code is None:
                os.kill(child.pid, signal.SIGCONT)
        stop(self.workers, 10)
        stop([self.api], 10)
        stop([self.redis_child], 10)
        self.redis.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.api_port}"

    @property
    def workers(self) -> list[Child]:
        return [keeper.child for keeper in self.keepers]

    def victims(self) -> list[Child]:
        """The workers that may be harmed at random; waits until there is one."""
        wait_for(lambda: self._harmable(), 60)
        return self._harmable()

    def _harmable(self) -> list[Child]:
        harmable = self.workers[: self._count - self._spared]
        return [child for child in harmable if child.exit_code is None]

    def start_redis(self) -> None:
        server = RedisServer(
            self.folder / "redis",
            port=self.redis_port,
            appendfsync=self._appendfsync,
            log=self.logs / "redis.log",
            env=self._redis_env,
        )
        self.redis_child = server.launch()
        wait_for(lambda: answers_ping(self.redis_port), 30)

    def start_api(self) -> None:
        self.api = self.launch_api(self.api_port, "api.log")

    def launch_api(self, port: int, log: str) -> Child:
        """A process of the API on a port, which may take a moment to answer."""
        command = api_command("127.0.0.1", port)
        return Child("the API", command, env=self.env, log=self.logs / log)

    def _start_worker(self, index: int) -> Child:
        model = self.models[index % len(self.models)]
        command = [sys.executable, str(WORKER), "--model", model]
        name = f"worker-{self.workers_started()}"
        env = self.env | {"WORKER": str(index)}
        return Child(name, command, env=env, log=self.logs / f"{name}.log")

    def workers_started(self) -> int:
        return len(list(self.logs.glob("worker-*")))

    def workers_said(self) -> str:
        return "".join(path.read_text() for path in sorted(self.logs.glob("worker-*.log")))

    def kill(self, child: Child, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal that ends a process, and wait for its end."""
        os.kill(child.pid, number)
        wait_for(lambda: child.exit_code is not None, 30)

    def _tend(self) -> None:
        while self.tending.is_set():
            for keeper in self.keepers:
                keeper.restart_if_ended()
            time.sleep(0.1)

    def wait_for_workers(self, within_s: float = 120) -> None:
        """Wait until all workers live and have said so to Redis, which remembers dead ones, too."""

        def all_there() -> bool:
            if any(child.exit_code is not None for child in self.workers):
                return False
            served = (f"tts:workers:{model_id(model)}" for model in self.models)
            found = [worker for key in served for worker in self.redis.zrange(key, 0, -1)]
            return {child.pid for child in self.workers} <= set(map(pid_of, found))

        wait_for(all_there, within_s)

    def arm(self, point: str, number: signal.Signals) -> None:
        """Let the next worker that comes to a point send itself a signal."""
        draft = self.faults / f"draft-{point}"
        draft.write_text(str(int(number)))
        draft.rename(self.faults / point)

    def is_armed(self, point: str) -> bool:
        return (self.faults / point).exists()

    def held_by(self, pid: int) -> dict[str, int]:
        """The segments that a worker has leased, with their epochs."""
        held = {}
        for segment in self.redis.zrange("tts:leases", 0, -1):
            worker, epoch = self.redis.hmget(f"tts:segment:{segment}", "worker", "epoch")
            if worker and pid_of(worker) == pid:
                held[segment] = int(epoch)
        return held

    def begun_again(self, held: dict[str, int]) -> bool:
        """Another worker has each of these segments, or has done it."""
        for segment, epoch in held.items():
            status, now = self.redis.hmget(f"tts:segment:{segment}", "status", "epoch")
            if status != "completed" and int(now) == epoch:
                return False
        return True


def fake_time(folder: Path) -> dict[str, str]:
    """The environment of a process whose clock is wrong by what `clock` in the folder says."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    assert found, "install Debian's package faketime, as `make faults` does"
    (folder / "clock").write_text("+0s")
    return {
        **os.environ,
        "LD_PRELOAD": str(found[0]),
        "FAKETIME_TIMESTAMP_FILE": str(folder / "clock"),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def wait_for(condition: Callable[[], object], within_s: float) -> float:
    """Wait for a condition; returns how many seconds that took."""
    began_s = time.monotonic()
    while not condition():
        assert time.monotonic() - began_s < within_s, f"not within {within_s:g} s"
        time.sleep(0.02)
    return time.monotonic() - began_s


def state(pid: int) -> str:
    """A process's state as Linux names it: T is stopped."""
    return Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0]


def pid_of(worker: str) -> int:
    """The process id in the name that `worker.identity` gives."""
    return int(worker.split(":")[-2])
