"""`python -m api.storage`: show the storage that jobs are in, or adopt another one in its place."""

from __future__ import annotations

import argparse
import sys

from redis import Redis

from shared.connection import connect
from shared.errors import QueueError
from shared.settings import Settings
from shared.storage import Storage
from shared.storage_identity import adopt, look_at_storage, without_password


def main() -> None:
    """Check the storage of the settings, or adopt it; exit code 1 if that fails."""
    parser = argparse.ArgumentParser(prog="python -m api.storage", description=__doc__)
    parser.add_argument(
        "command",
        choices=("check", "adopt"),
        nargs="?",
        default="check",
        help="adopt: from now on jobs are in this storage; audio that is elsewhere is not found",
    )
    options = parser.parse_args()
    try:
        settings = Settings.load()
        storage, redis = Storage.open(settings.storage_url), connect(settings.redis_url)
        done = _adopt(storage, redis) if options.command == "adopt" else _check(storage, redis)
    except QueueError as error:
        sys.exit(f"error: {error}")
    sys.stdout.write(f"{without_password(settings.storage_url)}: {done}\n")


def _adopt(storage: Storage, redis: Redis) -> str:
    storage_id = adopt(storage, redis)
    return f"jobs are here now (id {storage_id}); restart the API and the workers with this URL"


def _check(storage: Storage, redis: Redis) -> str:
    look_at_storage(storage, redis)
    return f"jobs are here (id {storage.marker()}), and it can be written to and read"


if __name__ == "__main__":
    main()
