"""List the models and forget one: `narrate models`, or `python -m api.models` where Redis is."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from api.operations.table import local_minute, table
from shared.errors import QueueError
from shared.settings import Settings
from shared.store.connection import connect
from shared.store.queue_state import QueueState
from shared.store.workers import ServedModel, WorkerRegistry

EPILOG = """A model without a worker for TTS_MODEL_TTL_S seconds is no longer offered to new jobs;
what waits for it goes on waiting for a worker. The models are those of TTS_REDIS_URL, or of the
`narrate up` that runs on this machine; `narrate models --data DIR` is about the one that keeps
everything in DIR."""


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line and do what it says, on the Redis of the settings."""
    parser = argparse.ArgumentParser(prog="narrate models", description=__doc__, epilog=EPILOG)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    commands.add_parser("list", help="list all models").set_defaults(does=_list)
    forget = commands.add_parser("forget", help="forget a model that nothing needs any more")
    forget.set_defaults(does=_forget)
    forget.add_argument("id", help="as `list` shows it")
    options = parser.parse_args(argv)
    try:
        sys.stdout.write("\n".join(options.does(Settings.load(), options)) + "\n")
    except QueueError as error:
        sys.exit(f"narrate: {error}")


def _list(settings: Settings, _options: argparse.Namespace) -> list[str]:
    redis = connect(settings.redis_url)
    registry = WorkerRegistry(redis, model_ttl_s=settings.model_ttl_s)
    queued = QueueState.read(redis).queued
    offered = {model.card.id for model in registry.models()}
    rows = [
        _row(model, queued.get(model.card.id, 0), is_offered=model.card.id in offered)
        for model in registry.known()
    ]
    return table(("ID", "TASK", "WORKERS", "WAITING", "LAST SEEN", ""), rows)


def _row(model: ServedModel, waiting: int, *, is_offered: bool) -> tuple[str, ...]:
    return (
        model.card.id,
        model.card.task,
        str(model.workers),
        str(waiting),
        local_minute(model.seen_s),
        "" if is_offered else "not offered",
    )


def _forget(settings: Settings, options: argparse.Namespace) -> list[str]:
    WorkerRegistry(connect(settings.redis_url)).forget(options.id)
    return [f"{options.id} is forgotten; the next worker that serves it offers it again"]


if __name__ == "__main__":
    main()
