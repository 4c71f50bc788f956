"""TCP ports of this machine."""

from __future__ import annotations

import errno
import socket

from client.errors import StartFailed


def free_port(host: str = "127.0.0.1") -> int:
    """A port that is free now; another process may take it before the caller does."""
    family, _ = _addresses(host, 0)[0]
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def check_port(host: str, port: int) -> None:
    """Raise StartFailed if no process can listen there."""
    try:
        for family, address in _addresses(host, port):
            _bind(family, address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise StartFailed(
                f"port {port} is in use on {host}: stop what listens there, or use --port"
            ) from error
        raise StartFailed(f"cannot listen on {host}:{port}: {error.strerror}") from error


def _bind(family: int, address: tuple[str, int]) -> None:
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As servers do: a port whose last connections are in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:  # Else :: would collide with our own 0.0.0.0.
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        probe.bind(address)


def _addresses(host: str, port: int) -> list[tuple[int, tuple[str, int]]]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return [(family, (str(address[0]), port)) for family, _, _, _, address in found]
