"""A connection to an address that was checked, all of it within one time."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import httpcore

from api.outbound.addresses import Resolver, is_public

# One that has more addresses is tried at these.
MOST_ADDRESSES = 4


class Deadline:
    """The end of a time in seconds."""

    def __init__(self, within_s: float) -> None:
        self._end = time.monotonic() + within_s
        self._said = f"took more than {within_s:g} s"

    def left_s(self) -> float:
        """Seconds that are left; raises `httpcore.TimeoutException` if none are."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise self.passed()
        return left

    def passed(self) -> httpcore.TimeoutException:
        """The error of whoever waited in vain."""
        return httpcore.TimeoutException(self._said)


class GuardedBackend(httpcore.NetworkBackend):
    """Opens connections for httpcore; each step takes what is left of the time at the most.

    A host is resolved once, all of its addresses must be public unless `private`, and one of these
    very addresses is what is connected to: a name that means another host a moment later gains
    nothing.
    """

    def __init__(self, resolve: Resolver, deadline: Deadline, *, private: bool) -> None:
        self._resolve = resolve
        self._deadline = deadline
        self._private = private

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - the deadline is for all steps together
        local_address: str | None = None,  # noqa: ARG002 - never given
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002 - never given
    ) -> httpcore.NetworkStream:
        """Connect to the first address that answers."""
        addresses = self._resolved(host, port)
        if not addresses or not (self._private or all(map(is_public, addresses))):
            # Whether a name exists inside is nobody's business outside.
            raise httpcore.ConnectError("no host of this name has only public addresses")
        return _Stream(self._connected(addresses[:MOST_ADDRESSES], port), self._deadline)

    def _connected(self, addresses: list[str], port: int) -> socket.socket:
        for tried, address in enumerate(addresses):
            within_s = self._deadline.left_s() / (len(addresses) - tried)
            try:
                return socket.create_connection((address, port), within_s)
            except OSError as error:
                refused = error
        raise httpcore.ConnectError(str(refused))

    def _resolved(self, host: str, port: int) -> list[str]:
        """Look a name up in a thread of its own, since nothing else can end a look-up in time."""
        found: Future[list[str]] = Future()

        def look_up() -> None:
            try:
                found.set_result(self._resolve(host, port))
            except (OSError, UnicodeError):
                found.set_result([])

        threading.Thread(target=look_up, name="look-up", daemon=True).start()
        try:
            return found.result(self._deadline.left_s())
        except TimeoutError:
            raise self._deadline.passed() from None


class _Stream(httpcore.NetworkStream):
    """What is sent and received, however slowly the other side does its part."""

    def __init__(self, connected: socket.socket, deadline: Deadline) -> None:
        self._socket = connected
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        with self._in_time(httpcore.ReadError):
            return self._socket.recv(max_bytes)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        rest = memoryview(buffer)
        while rest:
            with self._in_time(httpcore.WriteError):
                rest = rest[self._socket.send(rest) :]

    def close(self) -> None:
        self._socket.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        try:
            with self._in_time(httpcore.ConnectError):
                self._socket = ssl_context.wrap_socket(
                    self._socket, server_hostname=server_hostname
                )
        except BaseException:
            self.close()
            raise
        return self

    @contextmanager
    def _in_time(self, kind: Callable[[str], Exception]) -> Iterator[None]:
        self._socket.settimeout(self._deadline.left_s())
        try:
            yield
        except TimeoutError:
            raise self._deadline.passed() from None
        except OSError as error:
            raise kind(str(error)) from error
