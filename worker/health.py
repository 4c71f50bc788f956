"""`python -m worker.health`: exit code 0 if a worker of this container or host is signed in."""

from __future__ import annotations

import sys

from shared.errors import QueueError
from shared.settings import Settings
from shared.store.connection import connect
from shared.store.workers import WorkerRegistry
from worker.identity import place_name


def main() -> None:
    """Exit with 0 if a worker of this container or host is signed in, else with 1."""
    try:
        settings = Settings.load()
        workers = WorkerRegistry(connect(settings.redis_url)).workers()
    except QueueError as error:
        sys.exit(f"unhealthy: {error}")
    if not any(worker.startswith(f"{place_name()}:") for worker in workers):
        sys.exit("unhealthy: no worker of this host is signed in")


if __name__ == "__main__":
    main()
