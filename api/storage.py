"""`python -m api.storage`: show the storage that jobs are in, or adopt another one in its place."""

from __future__ import annotations

import argparse
import sys

from redis import Redis

from shared.errors import QueueError
from shared.settings import Settings
from shared.storage import Storage
from shared.storage_identity import adopt, compare, probe, without_password
from shared.store.connection import connect

WORKS_MESSAGE = "it can be written to and read"


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
        redis = connect(settings.redis_url)
        does = _adopt if options.command == "adopt" else _check
        done = does(settings.storage_url, redis)
    except QueueError as error:
        sys.exit(f"error: {error}")
    sys.stdout.write(f"{without_password(settings.storage_url)}: {done}\n")


def _adopt(url: str, redis: Redis) -> str:
    storage_id = adopt(Storage.open(url), redis)
    return f"jobs are here now (id {storage_id}); restart the API and the workers with this URL"


def _check(url: str, redis: Redis) -> str:
    """Nothing is made, marked or claimed here: a wrong URL must not become the right one."""
    storage = Storage.open(url, makes_folder=False)
    storage_id = compare(storage, redis)
    probe(storage)
    if storage_id is None:
        return (
            f"{WORKS_MESSAGE}; this Redis has no jobs in any storage, and the first start takes "
            "this one"
        )
    return f"jobs are here (id {storage_id}), and {WORKS_MESSAGE}"


if __name__ == "__main__":
    main()
