"""`python -m worker.health`: exit code 0 if a worker of this host is signed in."""

from __future__ import annotations

import socket
import sys

from shared.connection import connect
from shared.errors import QueueError
from shared.roster import Roster
from shared.settings import Settings


def main() -> None:
    """Ask the roster; a container runs one worker under a host name of its own."""
    try:
        settings = Settings.load()
        workers = Roster(connect(settings.redis_url)).workers()
    except QueueError as error:
        sys.exit(f"unhealthy: {error}")
    if not any(worker.startswith(f"{socket.gethostname()}:") for worker in workers):
        sys.exit("unhealthy: no worker of this host is signed in")


if __name__ == "__main__":
    main()
