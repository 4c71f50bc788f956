"""Redis servers that replicate one another, and the Sentinels that watch them."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Self

from redis import Redis

from client.local.ports import free_port
from client.local.process import Child, stop
from client.local.redis_server import RedisServer, answers_ping, find_program
from shared.store.connection import connect
from tests.support.processes import wait_until

SERVICE = "speech"
DOWN_AFTER_MS = 1_000


class SentinelCluster:
    """A primary, its replicas and Sentinels, on loopback ports."""

    def __init__(
        self, folder: Path, *, replicas: int = 1, sentinels: int = 1, min_replicas: int = 0
    ) -> None:
        self._folder, self._min_replicas = folder, min_replicas
        self._servers = [
            RedisServer(
                folder / f"redis-{number}", port=free_port(), log=folder / f"redis-{number}.log"
            )
            for number in range(1 + replicas)
        ]
        self._sentinel_ports = [free_port() for _ in range(sentinels)]
        self._sentinels: list[Child] = []

    @property
    def url(self) -> str:
        """The setting TTS_REDIS_URL."""
        hosts = ",".join(f"127.0.0.1:{port}" for port in self._sentinel_ports)
        return f"redis+sentinel://{hosts}/{SERVICE}/0"

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self) -> None:
        first, *others = self._servers
        for server in self._servers:
            server.start()
            with connect(server.url) as redis:
                redis.config_set("min-replicas-to-write", self._min_replicas)
                redis.config_set("repl-diskless-sync-delay", 0)
        for server in others:
            with connect(server.url) as redis:
                redis.replicaof("127.0.0.1", str(first.port))
        # A Sentinel that starts before would learn of them 10 s later.
        wait_until(lambda: len(self.synchronised()) == len(others), 30)
        for port in self._sentinel_ports:
            self._start_sentinel(port, first.port)
        wait_until(self._is_watched, 30)

    def _start_sentinel(self, port: int, primary: int) -> None:
        quorum = len(self._sentinel_ports) // 2 + 1
        folder = self._folder / f"sentinel-{port}"
        folder.mkdir()
        config = folder / "sentinel.conf"
        config.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {folder}\n"
            f"sentinel monitor {SERVICE} 127.0.0.1 {primary} {quorum}\n"
            f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}\n"
            f"sentinel failover-timeout {SERVICE} 10000\n"
        )
        log = self._folder / f"sentinel-{port}.log"
        command = [find_program(), str(config), "--sentinel"]
        self._sentinels.append(Child("a Sentinel", command, log=log))
        wait_until(lambda: answers_ping(port), 30)

    def _is_watched(self) -> bool:
        """True once each Sentinel knows every replica and every other Sentinel."""
        for port in self._sentinel_ports:
            with Redis(port=port, decode_responses=True) as sentinel:
                state = sentinel.sentinel_master(SERVICE)
            if state["num-other-sentinels"] != len(self._sentinel_ports) - 1:
                return False
            if state["num-slaves"] != len(self._servers) - 1:
                return False
        return True

    @property
    def primary(self) -> RedisServer:
        """The server that the first Sentinel names."""
        with Redis(port=self._sentinel_ports[0], decode_responses=True) as sentinel:
            port = sentinel.sentinel_master(SERVICE)["port"]
        return next(server for server in self._servers if server.port == port)

    def synchronised(self) -> list[RedisServer]:
        """The replicas whose link to their primary is up."""
        return [server for server in self._servers if self._is_linked(server)]

    @staticmethod
    def _is_linked(server: RedisServer) -> bool:
        if not answers_ping(server.port):
            return False
        with connect(server.url) as redis:
            state = redis.info("replication")
        return state["role"] == "slave" and state["master_link_status"] == "up"

    def fail_over(self) -> None:
        """Let the Sentinels promote a replica in order; returns once they name it."""
        before = self.primary.port
        with Redis(port=self._sentinel_ports[0], decode_responses=True) as sentinel:
            sentinel.sentinel_failover(SERVICE)
        wait_until(lambda: self.primary.port != before, 30)

    def restart(self, server: RedisServer) -> None:
        """Start a server that was killed, as its supervisor would; the Sentinels demote it."""
        server.stop()
        server.start()

    def stop_sentinels(self) -> None:
        """Stop all Sentinels."""
        stop(self._sentinels, 10)
        self._sentinels = []

    def __exit__(self, *_: object) -> None:
        for server in self._servers:
            if server.child and server.child.exit_code is None:
                os.kill(server.child.pid, signal.SIGCONT)
        self.stop_sentinels()
        for server in self._servers:
            server.stop()
