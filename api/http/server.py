"""uvicorn as we run it; of several processes, each has its share of the connections."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

import uvicorn
from uvicorn.supervisors import Multiprocess

from api.http.bounds import MAX_HEAD_BYTES
from api.http.draining import DRAIN
from api.http.header_timeout import HeaderTimeoutProtocol

# An event stream would otherwise stay open until its job ends.
SHUTDOWN_TIMEOUT_S = 5
STARTUP_FAILURE = 3  # uvicorn's exit code of a process whose application did not start


def run(
    app: str, *, host: str, port: int, workers: int, drain_s: float = 0.0, **options: Any
) -> None:
    """Serve an application until SIGTERM, SIGHUP or Ctrl-C, in `workers` processes.

    A single process serves on for `drain_s` seconds after SIGTERM. Exits with 1 if the address
    cannot be listened on or the application does not start.
    """
    options |= {"http": HeaderTimeoutProtocol, "timeout_graceful_shutdown": SHUTDOWN_TIMEOUT_S}
    options["proxy_headers"] = False  # `ProxyHeaders` reads them
    options["h11_max_incomplete_event_size"] = MAX_HEAD_BYTES
    is_shared = workers > 1 and sys.platform == "linux"
    try:
        check_free(host, port)
        shared = ReusePortSocket.take(host, port) if is_shared else None
    except OSError as error:
        sys.exit(f"error: {host}:{port} cannot be listened on: {error.strerror}")
    config = uvicorn.Config(app, host=host, port=port, workers=workers, **options)
    if shared is not None:
        started = Processes(config, [shared]).serve()
    elif workers > 1:
        started = Processes(config, [config.bind_socket()]).serve()
    else:
        started = Server(config, drain_s).serve_until_told()
    if not started:
        sys.exit(1)


def check_free(host: str, port: int) -> None:
    """Raise `OSError` if nothing could listen there."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, kind, protocol, _, address in found:
        with socket.socket(family, kind, protocol) as probe:
            # As servers do: a port whose last connections still linger in TIME_WAIT is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind(address)


class Server(uvicorn.Server):
    """One process. uvicorn's own would end by the very signal, as if nothing had been handled."""

    SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    _was_told = False

    def __init__(self, config: uvicorn.Config, drain_s: float = 0.0) -> None:
        super().__init__(config)
        self._drain_s = drain_s

    def serve_until_told(self) -> bool:
        """Serve until a signal; False if it never began to."""
        try:
            self.run()
        except SystemExit:  # with uvicorn's own code; it has logged the reason
            return False
        return self.started or self._was_told

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop at a signal; the second Ctrl-C waits for nothing more."""
        before = {number: signal.signal(number, self.handle_exit) for number in self.SIGNALS}
        try:
            yield
        finally:
            for number, action in before.items():
                signal.signal(number, action)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop, after the first SIGTERM once the process has drained."""
        is_first, self._was_told = not self._was_told, True
        if sig == signal.SIGTERM and is_first and self._drain_s and self.started:
            DRAIN.begin(self._drain_s)
        else:
            super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        """True if it is time to stop; uvicorn asks every 0.1 s."""
        return DRAIN.is_over or await super().on_tick(counter)


class Processes(Multiprocess):
    """Several processes, and this one, which restarts those that end."""

    def serve(self) -> bool:
        """Serve until a signal; False if the application could not start."""
        self.run()
        return all(process.exitcode != STARTUP_FAILURE for process in self.processes)

    def handle_hup(self) -> None:
        """Stop: the terminal is gone. uvicorn's own would start every process anew."""
        self.handle_term()


class ReusePortSocket(socket.socket):
    """An address at which each process that this is sent to listens with its own socket.

    Linux then spreads the connections over the processes. With one socket for all, the process that
    wakes first accepts a whole burst of them and, if they are kept open, has all work. The price: a
    connection to a process that dies before it could accept it is reset.
    """

    @classmethod
    def take(cls, host: str, port: int) -> Self:
        """Bind it; raises `OSError`, also if another program listens there and would share it."""
        family, address = socket.AF_INET6 if ":" in host else socket.AF_INET, (host, port)
        with socket.socket(family) as alone:
            alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            alone.bind(address)
        return cls.at(family, address)

    @classmethod
    def at(cls, family: int, address: Any) -> Self:
        """A socket bound to that address with SO_REUSEPORT."""
        shared = cls(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        shared.bind(address)
        return shared

    def __reduce__(self) -> tuple[Any, ...]:
        """A spawned process binds a socket of its own instead of inheriting this one."""
        return ReusePortSocket.at, (self.family, self.getsockname())
