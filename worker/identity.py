"""Unique names of workers, by which a container finds its own."""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
from pathlib import Path

BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")
PID_NAMESPACE_LINK = Path("/proc/self/ns/pid")


def worker_name() -> str:
    """A unique name of this process; the random part tells hosts of one name apart."""
    return f"{place_name()}:{os.getpid()}:{secrets.token_hex(4)}"


def place_name() -> str:
    """The name of this container or host, with which the names of its workers begin.

    Containers with one host name differ in their PID namespace, machines in their boot id.
    On other systems than Linux it is the host name.
    """
    try:
        place = f"{BOOT_ID_FILE.read_text()} {PID_NAMESPACE_LINK.readlink()}"
    except OSError:
        return socket.gethostname()
    return f"{socket.gethostname()}:{hashlib.sha256(place.encode()).hexdigest()[:8]}"
