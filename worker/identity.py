"""The names of workers: no two are equal, and a container finds its own."""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
from pathlib import Path

BOOT = Path("/proc/sys/kernel/random/boot_id")
PID_NAMESPACE = Path("/proc/self/ns/pid")


def worker_name() -> str:
    """A name for this process, which no other has: a host may have a name of others', too."""
    return f"{place_name()}:{os.getpid()}:{secrets.token_hex(4)}"


def place_name() -> str:
    """The name of this container or host, with which the names of its workers begin.

    Containers with one host name differ in their namespace of processes, machines in their boot.
    Elsewhere than on Linux the host name has to do.
    """
    try:
        place = f"{BOOT.read_text()} {PID_NAMESPACE.readlink()}"
    except OSError:
        return socket.gethostname()
    return f"{socket.gethostname()}:{hashlib.sha256(place.encode()).hexdigest()[:8]}"
