"""uvicorn as we run it; of several processes, each has its share of the connections."""

from __future__ import annotations

import socket
import sys
from typing import Any, Self

import uvicorn
from uvicorn.supervisors import Multiprocess

from api.bounds import MAX_HEAD_BYTES
from api.impatience import Impatient

# Who listens to events would stay for as long as its job takes.
LONGEST_GOODBYE_S = 5


def run(app: str, *, host: str, port: int, workers: int, **options: Any) -> None:
    """Serve an application until SIGTERM or Ctrl-C, in so many processes."""
    options |= {"http": Impatient, "timeout_graceful_shutdown": LONGEST_GOODBYE_S}
    options["h11_max_incomplete_event_size"] = MAX_HEAD_BYTES
    if workers == 1 or sys.platform != "linux":
        uvicorn.run(app, host=host, port=port, workers=workers, **options)
        return
    try:
        place = Place.take(host, port)
    except OSError as error:
        sys.exit(f"error: {host}:{port} cannot be listened on: {error.strerror}")
    config = uvicorn.Config(app, host=host, port=port, workers=workers, **options)
    Multiprocess(config, [place]).run()


class Place(socket.socket):
    """An address where each process that it is sent to listens with a socket of its own.

    Linux then deals connections out. With one socket for all, who wakes first is given a whole
    burst of them, and with kept connections all work, while the others have none. The price: what
    was dealt to a process that dies before it could accept it is reset.
    """

    @classmethod
    def take(cls, host: str, port: int) -> Self:
        """Bind it; raises `OSError`, also if others listen there who would share it."""
        family, address = socket.AF_INET6 if ":" in host else socket.AF_INET, (host, port)
        with socket.socket(family) as alone:
            alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            alone.bind(address)
        return cls.at(family, address)

    @classmethod
    def at(cls, family: int, address: Any) -> Self:
        """A socket at that address, whoever else has one there."""
        place = cls(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        place.bind(address)
        return place

    def __reduce__(self) -> tuple[Any, ...]:
        """What a new process makes of it."""
        return Place.at, (self.family, self.getsockname())
